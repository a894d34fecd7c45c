import { durationText, type Unit } from '../common/duration.js'
import type { LanguageTag } from '../config/language-tags.js'
import { html, type Insertable, type SafeHtml } from './html.js'

/** The file of a language: what stands in the code in English, and the same in the language. */
export interface Translations {
  /** The texts of the pages. */
  pages: Readonly<Record<string, string>>
  /** Messages: errors, notices, and short words that come from elsewhere. */
  messages: Readonly<Record<string, string>>
}

export type Language = ReturnType<typeof createLanguage>

/** The names in a text such as `Last seen {time}`. */
type NameIn<T extends string> = T extends `${string}{${infer Name}}${infer Rest}` ? Name | NameIn<Rest> : never

/** A part of a text: HTML, or the name of a value. */
type Part = SafeHtml | string

const NAME = /\{(\w+)\}/
/** A length of time, as `durationText` writes it in English. */
const DURATION = /^([\d,]+) (second|minute|hour|day)s?$/

/** Makes a language. A text without a translation stays English. */
export function createLanguage (tag: LanguageTag, translations: Translations) {
  // As maps: an object would have a translation of "constructor".
  const [pages, messages] = [new Map(Object.entries(translations.pages)), new Map(Object.entries(translations.messages))]
  const patterns = [...messages].filter(([english]) => NAME.test(english)).map(([english, translation]) => ({ pattern: patternOf(english), translation }))
  const phrases = new Map<string, Part[]>()

  /** Writes a text of a page. A test finds the texts that need a translation by the calls, so they must be written out. */
  function text (english: string): SafeHtml {
    return phrase(english, {})
  }

  /** Writes a text of a page with values, such as `phrase('Last seen {time}', { time })`. */
  function phrase<const T extends string> (english: T, values: Readonly<Record<NameIn<T>, Insertable>>): SafeHtml {
    const given: Readonly<Record<string, Insertable>> = values
    let parts = phrases.get(english)
    if (parts === undefined) {
      parts = partsOf(pages.get(english) ?? english)
      phrases.set(english, parts)
    }
    const [only] = parts
    if (parts.length === 1 && typeof only === 'object') return only
    return html`${parts.map((part) => typeof part === 'string' ? html`${given[part] ?? ''}` : part)}`
  }

  /** Translates a message that is in English, with its values. */
  function message (english: string): string {
    const whole = messages.get(english)
    if (whole !== undefined) return whole
    const duration = DURATION.exec(english)
    if (duration !== null) return durationText(Number(duration[1]?.replaceAll(',', '')), duration[2] as Unit, tag)
    for (const { pattern, translation } of patterns) {
      const values = pattern.exec(english)?.groups
      if (values !== undefined) return translation.replace(new RegExp(NAME, 'g'), (_, name: string) => message(values[name] ?? ''))
    }
    return english
  }

  return { tag, text, phrase, message }
}

/** The language of the code. */
export const english = createLanguage('en', { pages: {}, messages: {} })

/** Makes something once for each language. */
export function perLanguage<T> (make: (language: Language) => T): (language: Language) => T {
  const made = new Map<Language, T>()
  return (language) => {
    let one = made.get(language)
    if (one === undefined) {
      one = make(language)
      made.set(language, one)
    }
    return one
  }
}

function partsOf (text: string): Part[] {
  return text.split(NAME).map((part, i) => i % 2 === 1 ? part : html`${part}`)
}

/** Makes the pattern that finds the values in a message. */
function patternOf (english: string): RegExp {
  const source = english.split(NAME).map((part, i) => i % 2 === 1 ? `(?<${part}>.+)` : part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'))
  return new RegExp(`^${source.join('')}$`, 's')
}
