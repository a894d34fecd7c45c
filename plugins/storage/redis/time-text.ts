import { LATEST_TIME } from '../../common/is-time.js'

/** Tells whether a text is a time, in ms since the epoch. */
export function isTimeText (text: string | undefined): text is string {
  return text !== undefined && /^\d{1,16}$/.test(text) && Number(text) <= LATEST_TIME
}

/** The same in Lua, for the scripts that run within Redis. */
export const LUA_IS_TIME = `
local function isTime (text)
  return text and #text <= 16 and string.match(text, '^%d+$') and tonumber(text) <= ${LATEST_TIME}
end
`
