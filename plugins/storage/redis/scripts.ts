import type { Cluster, Redis } from 'ioredis'
import { withScripts, type Scripted } from './scripted.js'
import { FORMAT } from './session-codec.js'
import { LUA_IS_TIME } from './time-text.js'

/*
 * The scripts that run within Redis. Each has one key, so that it is atomic in a cluster as well, and takes everything else
 * as arguments. A session is a hash: its own fields by name, each session key with a dot before it. A tombstone is a
 * hash with the field `endedAt`, and `nextKey` if the session continues under another key.
 */

/** How long Redis keeps a session after its end, in ms: the clock of the reading process decides when that is. */
export const GRACE_MS = 60_000

const PRELUDE = `
local key = KEYS[1]
-- Lua can pass about 8,000 values to a call.
local MOST_VALUES = 2000

${LUA_IS_TIME}
-- The values of a hash by field, and also as a list by turns. Another kind of value counts as no hash.
local function hashAt ()
  local list = redis.pcall('HGETALL', key)
  if list.err then
    if string.sub(list.err, 1, 9) ~= 'WRONGTYPE' then error(list.err) end
    list = {}
  end
  local values = {}
  for i = 1, #list, 2 do values[list[i]] = list[i + 1] end
  return values, list
end

-- Whether a session of this format is live, as RedisStore would read it.
local function isLive (session, now)
  if session.format ~= '${FORMAT}' or (session.permanent ~= '0' and session.permanent ~= '1') then return false end
  if not (isTime(session.createdAt) and isTime(session.seenAt) and isTime(session.expiresAt)) then return false end
  return tonumber(session.expiresAt) > tonumber(now)
end

-- As text, since Lua would write a time as 1.8e+12.
local function later (one, other)
  return tonumber(other) > tonumber(one) and other or one
end

-- Calls a command with a long list of arguments, from one place in the list on.
local function callWithAll (command, list, first)
  for i = first, #list, MOST_VALUES do
    redis.call(command, key, unpack(list, i, math.min(i + MOST_VALUES - 1, #list)))
  end
end

local function keepUntil (expiresAt, now)
  redis.call('PEXPIRE', key, math.max(1, tonumber(expiresAt) - tonumber(now) + ${GRACE_MS}))
end
`

/** Takes now, expiresAt, field, value, …. Returns 1, or 0 if the key exists. */
const CREATE = `${PRELUDE}
local now, expiresAt = ARGV[1], ARGV[2]
if redis.call('EXISTS', key) == 1 then return 0 end
callWithAll('HSET', ARGV, 3)
keepUntil(expiresAt, now)
return 1
`

/**
 * Takes now, maxBytes, seenAt, expiresAt, permanent ('' is as it was), user ('' is as it was, '-' nobody, '=name'), the
 * number of fields to set, these with their values, the fields to remove. Returns 1, or 0 if no session is live there, or
 * the negative size if it would be too large.
 */
const PATCH = `${PRELUDE}
local now, maxBytes, seenAt, expiresAt, permanent, user, count = unpack(ARGV, 1, 7)
local session = hashAt()
if not isLive(session, now) then return 0 end

-- As sizeOf: the text that JSON makes of the name, the value, a colon and a comma.
local function sizeOf (field, value)
  local name = string.sub(field, 2)
  local _, escapedByOne = string.gsub(name, '["\\\\\\b\\t\\n\\f\\r]', '')
  local _, escapedByFive = string.gsub(name, '[%z\\1-\\7\\11\\14-\\31]', '')
  return #name + 2 + escapedByOne + 5 * escapedByFive + #value + 2
end

-- At most: six bytes for each of the name, and what is set is added to what it replaces.
local function largestSizeOf (field, value)
  return 6 * #field + #value + 4
end

local removed = 8 + 2 * count
local atMost = 2
for field, value in pairs(session) do atMost = atMost + largestSizeOf(field, value) end
for i = 8, removed - 1, 2 do atMost = atMost + largestSizeOf(ARGV[i], ARGV[i + 1]) end

if atMost > tonumber(maxBytes) then
  local sizes = {}
  for field, value in pairs(session) do
    if string.sub(field, 1, 1) == '.' then sizes[field] = sizeOf(field, value) end
  end
  for i = 8, removed - 1, 2 do sizes[ARGV[i]] = sizeOf(ARGV[i], ARGV[i + 1]) end
  for i = removed, #ARGV do sizes[ARGV[i]] = nil end
  local size = 2
  for _, bytes in pairs(sizes) do size = size + bytes end
  if size > tonumber(maxBytes) then return -size end
end

if permanent == '' then expiresAt = later(session.expiresAt, expiresAt) end
local set = { 'seenAt', later(session.seenAt, seenAt), 'expiresAt', expiresAt, 'permanent', permanent == '' and session.permanent or permanent }
if string.sub(user, 1, 1) == '=' then
  set[7] = 'user'
  set[8] = string.sub(user, 2)
end
for i = 8, removed - 1 do set[#set + 1] = ARGV[i] end
callWithAll('HSET', set, 1)
callWithAll('HDEL', ARGV, removed)
if user == '-' then redis.call('HDEL', key, 'user') end
keepUntil(expiresAt, now)
return 1
`

/** Takes now and a prefix. Removes the fields that begin with it, and returns them with their values. */
const TAKE = `${PRELUDE}
local now, prefix = unpack(ARGV)
local taken = {}
local session, list = hashAt()
if not isLive(session, now) then return taken end
for i = 1, #list, 2 do
  if string.sub(list[i], 1, #prefix) == prefix then
    redis.call('HDEL', key, list[i])
    table.insert(taken, list[i])
    table.insert(taken, list[i + 1])
  end
end
return taken
`

/** Takes now, seenAt, expiresAt. Returns 1, or 0 if no session is live there. */
const TOUCH = `${PRELUDE}
local now, seenAt, expiresAt = unpack(ARGV)
local session = hashAt()
if not isLive(session, now) then return 0 end
expiresAt = later(session.expiresAt, expiresAt)
redis.call('HSET', key, 'seenAt', later(session.seenAt, seenAt), 'expiresAt', expiresAt)
keepUntil(expiresAt, now)
return 1
`

/**
 * Takes now, tombstoneMs, user ('' is any, '=name' only this one), nextKey ('' is none). Returns nil if no session was live
 * there; the fields of the session, or 1 if a user was given; or 0 and does nothing if it belongs to another user.
 */
const REMOVE = `${PRELUDE}
local now, tombstoneMs, user, nextKey = unpack(ARGV)
local session, list = hashAt()
local lives = isLive(session, now)
if user ~= '' and lives and session.user ~= string.sub(user, 2) then return 0 end
-- The first end counts.
if session.endedAt then return false end
-- Before any other write: a script that has deleted may go on to write when the memory is full.
redis.call('DEL', key)
redis.call('HSET', key, 'endedAt', now)
if nextKey ~= '' then redis.call('HSET', key, 'nextKey', nextKey) end
redis.call('PEXPIRE', key, tombstoneMs)
return lives and (user == '' and list or 1)
`

/**
 * Takes session key, addedAt, how long to keep the index in ms, limit ('' is none). Returns how many sessions are in the index,
 * and if that is over the limit, all of them and when each was added.
 */
const INDEX = `
redis.call('ZADD', KEYS[1], ARGV[2], ARGV[1])
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[3]) then redis.call('PEXPIRE', KEYS[1], ARGV[3]) end
local count = redis.call('ZCARD', KEYS[1])
local isOver = ARGV[4] ~= '' and count > tonumber(ARGV[4])
return { count, isOver and redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES') or {} }
`

/** Takes session key, addedAt, …. Removes them from the index, except those that were added again meanwhile. */
const UNINDEX = `
for i = 1, #ARGV, 2 do
  if redis.call('ZSCORE', KEYS[1], ARGV[i]) == ARGV[i + 1] then redis.call('ZREM', KEYS[1], ARGV[i]) end
end
return 0
`

/** A list of arguments may be longer than JavaScript can spread in a call. */
type Script<Reply> = (key: string, ...args: Array<string | number | ReadonlyArray<string | number>>) => Promise<Reply>

/** The scripts as commands of the client. */
export interface SessionScripts {
  hatcheckCreate: Script<0 | 1>
  hatcheckPatch: Script<number>
  hatcheckTake: Script<string[]>
  hatcheckTouch: Script<0 | 1>
  hatcheckRemove: Script<string[] | 0 | 1 | null>
  hatcheckIndex: Script<[number, string[]]>
  hatcheckUnindex: Script<0>
}

/** Adds the scripts to a client as commands. */
export function withSessionScripts (client: Redis | Cluster): Scripted<SessionScripts> {
  return withScripts<SessionScripts>(client, {
    hatcheckCreate: CREATE,
    hatcheckPatch: PATCH,
    hatcheckTake: TAKE,
    hatcheckTouch: TOUCH,
    hatcheckRemove: REMOVE,
    hatcheckIndex: INDEX,
    hatcheckUnindex: UNINDEX
  })
}
