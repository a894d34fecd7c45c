import { openSocket, readAnswer, type RawAnswer } from '../clients/raw-client.js'
import { SMUGGLED, type Production } from './grammar.js'

/** The bytes sent over one connection, and how they are sent. */
export interface Script {
  readonly productions: readonly Production[]
  /** The bytes, one write each. */
  readonly pieces: readonly Buffer[]
  /** Whether the client leaves it to the server to close a connection with an incomplete request. */
  readonly isPatient: boolean
}

export interface Outcome {
  answers: RawAnswer[]
  /** Requests without an answer, since the server closed the connection because of a later one. */
  unanswered: number
  fault: string | null
}

/** The server's own limits for a request and for the interval between two checks, plus time for a busy machine. */
const LONGEST_MS = 20_000
/** How long a client waits, in ms, for an answer to a request that may be incomplete, before it stops sending. */
const MOMENT_MS = 20
/** Answers of the parser itself, after which the connection ends. */
const PARSER_SAYS = [400, 408, 413, 431]

/** Runs one conversation, and checks that each answer belongs to its request. */
export function converse (port: number, localAddress: string, { productions, pieces, isPatient }: Script): Promise<Outcome> {
  return new Promise((resolve) => {
    const outcome: Outcome = { answers: [], unanswered: 0, fault: null }
    const { answers } = outcome
    const last = productions.at(-1)
    const isOpen = last?.reading === 'open' || last?.reading === 'wild'
    const owed = productions.length - (isOpen ? 1 : 0)
    let rest: Buffer = Buffer.alloc(0)
    let written = 0
    let isEnding = false
    let isOver = false
    let ending: NodeJS.Timeout | undefined
    const socket = openSocket(`http://127.0.0.1:${port}`, { localAddress, noDelay: true })
    const deadline = setTimeout(() => {
      outcome.fault = `a hang: ${answers.length} of ${owed} answers, ${isEnding ? 'and no end of the connection after that of the client' : 'and no end of the connection'}`
      socket.destroy()
    }, LONGEST_MS)

    socket.on('connect', write)
    socket.on('data', (chunk) => {
      rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk])
      take(false)
      endIfDone()
    })
    socket.on('close', () => {
      clearTimeout(deadline)
      clearTimeout(ending)
      take(true)
      if (rest.length > 0) fail(`no answer: ${JSON.stringify(rest.toString('latin1', 0, 200))}`)
      outcome.unanswered = Math.max(0, owed - answers.length)
      const isExcused = isOpen || productions.some(({ reading, isLast }) => reading !== 'plain' || isLast)
      if (outcome.unanswered > 0 && !isExcused) fail(`${outcome.unanswered} well-formed requests are not answered`)
      resolve(outcome)
    })

    function write (): void {
      if (written === pieces.length || socket.destroyed) {
        endIfDone()
        return
      }
      socket.write(pieces[written] as Buffer)
      written++
      setImmediate(write)
    }

    function endIfDone (): void {
      if (written < pieces.length || isEnding || answers.length < owed) return
      if (!isOpen) end()
      else if (answers.length > owed) end()
      else if (!isPatient) ending ??= setTimeout(end, MOMENT_MS)
    }

    function end (): void {
      isEnding = true
      socket.end()
    }

    function take (isClosed: boolean): void {
      for (;;) {
        const production = productions[answers.length]
        if (rest.length === 0) return
        if (!/^HTTP\/1\.[01] \d\d\d(?: |\r)/.test(rest.toString('latin1', 0, 13)) && rest.length > 12) {
          // Some servers answer a line without a version without a head.
          if (answers.length >= owed && isOpen) rest = Buffer.alloc(0)
          else fail(`no answer: ${JSON.stringify(rest.toString('latin1', 0, 200))}`)
          return
        }
        // An error of our parser has a body, whatever the method. An answer of nginx to HEAD has none.
        const isParsers = PARSER_SAYS.includes(Number(rest.toString('latin1', 9, 12)))
        const answer = readAnswer(rest, isParsers && productions.some(({ reading }) => reading !== 'plain') ? 'GET' : production?.method, isClosed) ?? (isClosed ? readAnswer(rest, production?.method, true) : null)
        if (answer === null) return
        rest = rest.subarray(answer.length)
        // One of these may be 100 Continue.
        if (answer.status < 200) continue
        judge(answer, production)
        answers.push(answer)
      }
    }

    function judge (answer: RawAnswer, production: Production | undefined): void {
      const at = answers.length
      if (isOver) fail(`request ${at} was answered after the parser had ended the connection: ${answer.head}`)
      // Damage can remove the part that hid it.
      const isRevealed = last?.reading === 'wild' && at >= productions.length - 1
      if (!isRevealed && (answer.head.includes(SMUGGLED) || (answer.body.includes(SMUGGLED) && production?.kind !== 'login without a password'))) fail(`what was hidden in request ${at} or before was answered`)
      if (production === undefined) {
        // An answer that does not wait for the body, and the parser's answer when the body does not come.
        const isParsers = isOpen && PARSER_SAYS.includes(answer.status) && at === productions.length
        if (last?.reading !== 'wild' && !isParsers) fail(`one answer more than requests: ${answer.head}`)
        return
      }
      // An answer that does not wait for the body, and the parser's answer when the body is invalid.
      if (productions.slice(0, at).some(({ reading }) => reading === 'refused') && !PARSER_SAYS.includes(answer.status)) fail(`request ${at} was answered after one that is none: ${answer.head}`)
      if (production.reading === 'refused' && answer.status < 400) fail(`request ${at} is none (${production.kind}) and was answered by ${answer.status}`)
      const flaw = production.flawOf?.(answer) ?? null
      if (flaw === null) return
      if (PARSER_SAYS.includes(answer.status) && production.reading !== 'plain') isOver = true
      else fail(`the answer to request ${at} (${production.kind}) is another: ${flaw}\n${answer.head}\n\n${answer.body.slice(0, 500)}`)
    }

    function fail (fault: string): void {
      outcome.fault ??= fault
      socket.destroy()
    }
  })
}
