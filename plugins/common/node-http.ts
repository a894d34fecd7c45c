/**
 * The parts of `node:http` that hatcheck needs at every start. `import` would make Node 22 and later evaluate each of its exports, and so
 * load a WebSocket client: a tenth of a start.
 */
export const { METHODS, STATUS_CODES, createServer } = process.getBuiltinModule('node:http')
