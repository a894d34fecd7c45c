import { FORMATS } from '../common/formats.js'

/** Where the formats are noted, beside the names of the databases. */
export const FORMATS_KEY = 'hatcheck formats'

/** The formats of LMDB. Sessions of format 1 are read as well. */
export const LMDB_FORMATS = { ...FORMATS, sessions: 2 } as const
