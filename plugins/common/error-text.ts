const FAULTS = [TypeError, ReferenceError, RangeError, SyntaxError]

/**
 * Returns what people read of an error that ends a program: its text, which says what is wrong, and that of its cause, which no
 * log shows. An error that only a fault of the program can cause is located by its stack.
 */
export function errorText (error: unknown): string {
  const { code, message, stack = message, cause } = error as NodeJS.ErrnoException
  if (FAULTS.some((kind) => error instanceof kind) && code?.startsWith('HATCHECK_') !== true) return stack
  return cause instanceof Error ? `${message} The reason: ${errorText(cause)}` : message
}
