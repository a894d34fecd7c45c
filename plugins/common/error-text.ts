const FAULTS = [TypeError, ReferenceError, RangeError, SyntaxError]

/**
 * Returns what people read of an error that ends a program: its text, which says what is wrong. An error that only a fault of the
 * program can cause is located by its stack.
 */
export function errorText (error: unknown): string {
  const { code, message, stack = message } = error as NodeJS.ErrnoException
  return FAULTS.some((kind) => error instanceof kind) && code?.startsWith('HATCHECK_') !== true ? stack : message
}
