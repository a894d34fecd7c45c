/** The languages of the pages. The first is that of the code; each of the others has a file in plugins/view/languages. */
export const LANGUAGE_TAGS = ['en', 'de', 'fr', 'es', 'ja', 'zh'] as const

export type LanguageTag = typeof LANGUAGE_TAGS[number]
