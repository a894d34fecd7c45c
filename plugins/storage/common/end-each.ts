/** What has become of several calls that end sessions. */
interface Ends<T> {
  /** The answers by key, of the calls that have succeeded. */
  readonly answers: ReadonlyMap<string, T>
  /** The errors of the others. */
  readonly failures: readonly unknown[]
}

/** Ends several sessions at once. One that cannot be ended does not keep the others alive. */
export async function endEach<T> (keys: readonly string[], end: (key: string) => Promise<T>): Promise<Ends<T>> {
  const answers = new Map<string, T>()
  const failures: unknown[] = []
  await Promise.all(keys.map(async (key) => {
    try {
      answers.set(key, await end(key))
    } catch (error) {
      failures.push(error)
    }
  }))
  return { answers, failures }
}
