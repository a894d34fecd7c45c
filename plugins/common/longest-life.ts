export { LONGEST_LIFE_MS } from './clock.js'
