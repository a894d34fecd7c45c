import { LANGUAGE_TAGS } from './language-tags.js'
import type { Row } from './row.js'

/**
 * A path or a URL that the Content-Security-Policy can allow by itself: in printable ASCII, without `;` and `,` in its path. A
 * slash at the end would allow everything below it.
 */
const ADDRESS = String.raw`(?:https?:\/\/[\w-]+(?:\.[\w-]+)*(?::\d{1,5})?)?\/(?!\/)[\w.~!$&'()*+=:@%/-]*(?<!\/)(?:\?[!-~]*)?`

/** The options of hatcheck's own pages: rows of the table in table.ts. */
export const PAGE_OPTIONS = {
  /**
   * The name of the application, in the title and at the top of every page.
   * @default `hatcheck`; none beside a `pageLogo`
   * @see `docs/pages.md`
   */
  pageTitle: { type: 'text', pattern: /^[^\p{C}\p{Zl}\p{Zp}]{1,64}$/u, form: '1 to 64 characters on one line' },
  /**
   * An image at the top of every page, which is also the icon of the page. The path is from the root of the server.
   * @default a hat
   * @see `docs/pages.md#logo`
   */
  pageLogo: { type: 'text', pattern: new RegExp(`^(?:${ADDRESS}|data:image/[!-~]+)$`), form: 'a path such as /logo.svg, the URL of an image, or a data: URL of an image' },
  /**
   * The color of the buttons. The color of the text on them, and of links, is derived from it: it always has enough contrast.
   * @default a dark blue
   * @see `docs/pages.md#color`
   */
  pageAccentColor: { type: 'text', pattern: /^#(?:[\da-f]{3}|[\da-f]{6})$/i, form: 'a color such as #0a7 or #00aa77' },
  /**
   * A stylesheet of your own, linked after hatcheck's own style. The path is from the root of the server.
   * @default none
   * @see `docs/pages.md#stylesheet`
   */
  pageStylesheet: { type: 'text', pattern: new RegExp(`^${ADDRESS}$`), form: 'a path such as /pages.css, or the URL of a stylesheet' },
  /**
   * The languages of the pages, as a list or separated by commas. `Accept-Language` chooses one of them; the first is for
   * visitors who understand none.
   * @default `en,de,fr,es,ja,zh`
   * @see `docs/pages.md#languages`
   */
  pageLanguages: { type: 'languages', form: `languages out of ${LANGUAGE_TAGS.join(', ')}` }
} as const satisfies Record<string, Row>
