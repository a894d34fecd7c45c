import type { Serve } from './resources.js'

/** What is loaded in the process of a peer alone: its packages may be missing elsewhere. */
export const modules = {
  hatcheck: async () => await import('./hatcheck.js'),
  'fastify-session': async () => await import('./fastify-session.js'),
  'secure-session': async () => await import('./secure-session.js'),
  'iron-session': async () => await import('./iron-session.js'),
  'express-session': async () => await import('./express-session.js'),
  'better-auth': async () => await import('./better-auth.js')
} satisfies Record<string, () => Promise<{ serve: (variant: string) => Serve }>>

export type ModuleName = keyof typeof modules
