import type { FastifyInstance, FastifyReply } from 'fastify'
import fp from 'fastify-plugin'
import { randomUUID } from 'node:crypto'
import { html } from './html.js'
import { perLanguage, type Language } from './language.js'
import { createLanguageChoice } from './languages.js'
import { createLayout, type Page, type PageParts } from './layout.js'
import { createNotices } from './notice.js'
import { sourcesOf } from './sources.js'
import { createStyle, hashOf } from './style.js'

export type View = ReturnType<typeof createView>

export default fp(async function view (fastify) {
  fastify.hatcheck.provide('view', createView(fastify))
}, { name: 'view', dependencies: ['config', 'cookies'] })

function createView ({ hatcheck: { config, cookies } }: FastifyInstance) {
  // Without pages, no file has to be read.
  const languageOf = createLanguageChoice(config.hasRoutes ? config.pageLanguages : ['en'])
  const style = createStyle(config.pageAccentColor)
  const layout = createLayout({ ...config, style, isDemo: config.mode === 'demo' })

  /** Renders a page that is the same for every request of a language. */
  function prepare (content: Page): (language: Language) => string {
    return perLanguage((language) => layout(content(language), language))
  }

  /**
   * Renders a page that is the same for every request of a language but for one text, which may stand in it several times.
   *
   * @returns a function that renders the page with a text. It escapes the text.
   */
  function prepareAround (content: (language: Language, text: string) => PageParts): (language: Language, text: string) => string {
    // Nothing else on the page can be the same.
    const place = randomUUID()
    const pieces = perLanguage((language) => layout(content(language, place), language).split(place))
    return (language, text) => pieces(language).join(String(html`${text}`))
  }

  /** Sends a page in the language of the request. */
  function page (reply: FastifyReply, content: Page | ReturnType<typeof prepare>): FastifyReply {
    const language = languageOf(reply.request)
    const made = content(language)
    return reply.header('content-language', language.tag).type('text/html; charset=utf-8').send(typeof made === 'string' ? made : layout(made, language))
  }

  return {
    prepare,
    prepareAround,
    page,
    /** The sources that the Content-Security-Policy must allow for the pages. */
    sources: { style: [hashOf(style), ...sourcesOf(config.pageStylesheet)], image: ['data:', ...sourcesOf(config.pageLogo)] },
    ...createNotices(cookies, config.base)
  }
}
