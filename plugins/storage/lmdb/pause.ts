/** Holds the thread for this time: LMDB opens a folder synchronously, and other processes go on meanwhile. */
export function pause (ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)
}
