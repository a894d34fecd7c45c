import { readFileSync } from 'node:fs'
import type { IncomingHttpHeaders } from 'node:http'
import { join } from 'node:path'
import { Memo } from '../common/memo.js'
import { negotiator } from '../common/negotiator.js'
import type { LanguageTag } from '../config/language-tags.js'
import { createLanguage, english, type Language, type Translations } from './language.js'

/** In characters; the rest is ignored. Browsers send about 40. */
const LONGEST_ACCEPT_LANGUAGE = 256

/** The languages that any registration of this process has asked for. */
const loaded = new Map<LanguageTag, Language>([['en', english]])

/**
 * Makes a function that chooses the language of a page by `Accept-Language`. Reads the files of the languages.
 *
 * @param tags the languages to choose from. The first is for requests that accept none of them.
 */
export function createLanguageChoice (tags: readonly LanguageTag[]): (request: { headers: IncomingHttpHeaders }) => Language {
  const languages = new Map<string, Language>(tags.map((tag) => [tag, languageOf(tag)]))
  const fallback = languages.get(tags[0] ?? 'en') ?? english
  // The browsers of a site send a few headers again and again.
  const chosen = new Memo<Language>(128)

  return ({ headers: { 'accept-language': given } }) => {
    if (given === undefined || languages.size === 1) return fallback
    const header = given.length > LONGEST_ACCEPT_LANGUAGE ? given.slice(0, LONGEST_ACCEPT_LANGUAGE) : given
    return chosen.getOrMake(header, choose)
  }

  function choose (header: string): Language {
    const Negotiator = negotiator()
    return languages.get(new Negotiator({ headers: { 'accept-language': header } }).language([...languages.keys()]) ?? '') ?? fallback
  }
}

function languageOf (tag: LanguageTag): Language {
  let language = loaded.get(tag)
  if (language === undefined) {
    const translations: Translations = JSON.parse(readFileSync(join(import.meta.dirname, 'languages', `${tag}.json`), 'utf8'))
    language = createLanguage(tag, translations)
    loaded.set(tag, language)
  }
  return language
}
