import { test } from 'tap'
import { eachInSlices, sortedInSlices } from '../plugins/common/slices.js'
import { Round } from '../plugins/storage/memory/round.js'

/** Counts the turns of the event loop until it is stopped. */
function countTurns (): () => number {
  let turns = 0
  let next = setImmediate(turn)
  function turn (): void {
    turns++
    next = setImmediate(turn)
  }
  return () => {
    clearImmediate(next)
    return turns
  }
}

for (const length of [0, 1, 2, 499, 500, 501, 1_001, 10_000]) {
  test(`${length} items are sorted as toSorted does`, async (t) => {
    // Few values, so that many items are equal: those keep their order.
    const items = Array.from({ length }, (_, at) => ({ at, rank: (at * 7_919) % 13 }))
    const before = [...items]
    const byRank = (a: { rank: number }, b: { rank: number }): number => a.rank - b.rank
    const stop = countTurns()
    const sorted = await sortedInSlices(items, byRank)
    t.strictSame(sorted.map(({ at }) => at), items.toSorted(byRank).map(({ at }) => at))
    t.strictSame(items, before, 'the list itself stays as it is')
    const turns = stop()
    t.ok(length <= 500 ? turns === 0 : turns >= Math.floor(length / 1_000), `the event loop has turned ${turns} times`)
  })
}

test('a long task lets the event loop turn, and visits every item once and in order', async (t) => {
  const visited: number[] = []
  let slices = 1
  const stop = countTurns()
  await eachInSlices([...Array(20).keys()], (item) => {
    visited.push(item)
    const until = performance.now() + 1
    while (performance.now() < until);
  }, () => { slices++ })
  t.strictSame(visited, [...Array(20).keys()])
  t.ok(slices > 5, `${slices} slices`)
  t.ok(stop() >= slices - 1)
})

test('a long task visits what is added to a set meanwhile', async (t) => {
  const items = new Set(['first'])
  const visited: string[] = []
  await eachInSlices(items, (item) => {
    visited.push(item)
    if (item === 'first') items.add('second')
    items.delete(item)
  })
  t.strictSame(visited, ['first', 'second'])
})

test('each slice of a round goes on where the last one stopped, until all items are visited', async (t) => {
  const items = new Set(Array(500).keys())
  const round = new Round(() => items.values())
  const visited: number[] = []
  const slice = (): boolean => round.run(0, (item) => { visited.push(item) })
  t.equal(slice(), false)
  const first = visited.length
  t.ok(first >= 1 && first < 100, `${first} items`)
  items.delete(0)
  items.add(500)
  while (!slice());
  t.strictSame(visited, [...Array(501).keys()])
  visited.length = 0
  while (!slice());
  t.strictSame(visited, [...Array(500).keys()].map((item) => item + 1), 'another round')
})
