import type { Test } from 'tap'

/** A command of a README, with the output that is shown below it. */
export interface Step {
  command: string
  /** Text that the output must contain. */
  shown: string[]
}

/** The code blocks of a language in a text. */
export function blocksOf (text: string, language: string): string[] {
  return [...text.matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\`$`, 'gms'))].map(([, block]) => block as string)
}

export function stepsOf (block: string): Step[] {
  const steps: Step[] = []
  for (const line of block.trim().split('\n')) {
    const shown = /^# → (.+)$/.exec(line)?.[1]
    if (shown === undefined) steps.push({ command: line, shown: [] })
    else steps.at(-1)?.shown.push(shown)
  }
  return steps
}

export function assertShown (t: Test, output: string, { command, shown }: Step): void {
  for (const text of shown) t.ok(output.includes(text), `${command} shows ${text}`, { output })
}
