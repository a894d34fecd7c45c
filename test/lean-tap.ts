// Loaded before each test file. tap follows every promise and every callback, by a hook of Node, to attribute an
// uncaught error to its subtest. That takes a sixth of the time of the suite. Without the hook such an error ends
// the test file, which is a failure with a stack.
import hooks, { type AsyncHook } from 'node:async_hooks'
import { syncBuiltinESMExports } from 'node:module'

const { createHook } = hooks
hooks.createHook = () => {
  const none: AsyncHook = { enable: () => none, disable: () => none }
  return none
}
syncBuiltinESMExports()
// tap asks for its hook while it is loaded, and no other code does.
await import('tap')
hooks.createHook = createHook
syncBuiltinESMExports()
