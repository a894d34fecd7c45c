// The package exports this as hatcheck/testing. The plugin does not load it.
export { testClock, type Span, type TestClock } from './clock.js'
export { visitor, type TestedApp, type Visitor, type VisitorOptions } from './visitor.js'
