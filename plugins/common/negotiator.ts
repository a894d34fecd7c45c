import type Negotiator from 'negotiator'
import { lazyPackage } from './lazy-package.js'

/** Returns the class that reads `Accept` and `Accept-Language`. */
export const negotiator = lazyPackage<typeof Negotiator>('negotiator')
