/** The headers of a browser that opens a page, and of a program that wants JSON. */
export const AS_BROWSER = { accept: 'text/html,application/xhtml+xml,*/*;q=0.8' }
export const AS_PROGRAM = { accept: 'application/json' }
