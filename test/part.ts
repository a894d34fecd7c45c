const IS_LONG = process.env['HATCHECK_TEST_LONG'] === '1'

/** Says how many of many random cases to run: all in `npm run test:long`, which `.ci/run` runs, and a share in `npm test`. */
export function partOf (all: number, share: number): number {
  return IS_LONG ? all : Math.ceil(all * share)
}
