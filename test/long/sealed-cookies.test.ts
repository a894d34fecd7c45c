import { test } from 'tap'
import { sendForgedCookies } from '../inputs/forged-cookies.js'

test('of 100,000 cookies that are forged, changed, expired, ended or of another name or realm, none opens anything', async (t) => {
  await sendForgedCookies(t, 100_000)
})
