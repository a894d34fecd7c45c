import type { Cluster, Redis } from 'ioredis'

/*
 * The scripts that run within Redis. Each has one key, so that it is atomic in a cluster as well, and takes everything else
 * as arguments. A session is a hash: its own fields by name, each session key with a dot before it. A tombstone is a
 * hash with the field `endedAt`, and `nextKey` if the session continues under another key.
 */

const PRELUDE = `
local key = KEYS[1]

-- Redis drops a session a minute after its end, which the clock of the reading process decides.
local GRACE_MS = 60000

local function isTime (text)
  return text and #text <= 16 and string.match(text, '^%d+$')
end

-- Whether a session of this format is live, as RedisStore would read it; then also its user and its times.
local function live (now)
  if redis.call('TYPE', key).ok ~= 'hash' then return false end
  local format, createdAt, seenAt, expiresAt, permanent, user =
    unpack(redis.call('HMGET', key, 'format', 'createdAt', 'seenAt', 'expiresAt', 'permanent', 'user'))
  if format ~= '1' or (permanent ~= '0' and permanent ~= '1') then return false end
  if not (isTime(createdAt) and isTime(seenAt) and isTime(expiresAt)) then return false end
  return tonumber(expiresAt) > tonumber(now), user, seenAt, expiresAt
end

-- As text, since Lua would write a time as 1.8e+12.
local function later (one, other)
  return tonumber(other) > tonumber(one) and other or one
end

local function keepUntil (expiresAt, now)
  redis.call('PEXPIRE', key, math.max(1, tonumber(expiresAt) - tonumber(now) + GRACE_MS))
end
`

/** Takes now, expiresAt, field, value, …. Returns 1, or 0 if the key exists. */
const CREATE = `${PRELUDE}
local now, expiresAt = ARGV[1], ARGV[2]
if redis.call('EXISTS', key) == 1 then return 0 end
for i = 3, #ARGV, 2 do redis.call('HSET', key, ARGV[i], ARGV[i + 1]) end
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
local lives, _, lastSeenAt, lastExpiresAt = live(now)
if not lives then return 0 end

-- As sizeOf: the text that JSON makes of the name, the value, a colon and a comma.
local function sizeOf (field, value)
  local name = string.sub(field, 2)
  local _, escapedByOne = string.gsub(name, '["\\\\\\b\\t\\n\\f\\r]', '')
  local _, escapedByFive = string.gsub(name, '[%z\\1-\\7\\11\\14-\\31]', '')
  return #name + 2 + escapedByOne + 5 * escapedByFive + #value + 2
end

local sizes = {}
local fields = redis.call('HGETALL', key)
for i = 1, #fields, 2 do
  if string.sub(fields[i], 1, 1) == '.' then sizes[fields[i]] = sizeOf(fields[i], fields[i + 1]) end
end
local removed = 8 + 2 * count
for i = 8, removed - 1, 2 do sizes[ARGV[i]] = sizeOf(ARGV[i], ARGV[i + 1]) end
for i = removed, #ARGV do sizes[ARGV[i]] = nil end
local size = 2
for _, bytes in pairs(sizes) do size = size + bytes end
if size > tonumber(maxBytes) then return -size end

for i = 8, removed - 1, 2 do redis.call('HSET', key, ARGV[i], ARGV[i + 1]) end
for i = removed, #ARGV do redis.call('HDEL', key, ARGV[i]) end
if permanent == '' then
  expiresAt = later(lastExpiresAt, expiresAt)
else
  redis.call('HSET', key, 'permanent', permanent)
end
redis.call('HSET', key, 'seenAt', later(lastSeenAt, seenAt), 'expiresAt', expiresAt)
if user == '-' then
  redis.call('HDEL', key, 'user')
elseif user ~= '' then
  redis.call('HSET', key, 'user', string.sub(user, 2))
end
keepUntil(expiresAt, now)
return 1
`

/** Takes now and a prefix. Removes the fields that begin with it, and returns them with their values. */
const TAKE = `${PRELUDE}
local now, prefix = unpack(ARGV)
local taken = {}
if not live(now) then return taken end
local fields = redis.call('HGETALL', key)
for i = 1, #fields, 2 do
  if string.sub(fields[i], 1, #prefix) == prefix then
    redis.call('HDEL', key, fields[i])
    table.insert(taken, fields[i])
    table.insert(taken, fields[i + 1])
  end
end
return taken
`

/** Takes now, seenAt, expiresAt. Returns 1, or 0 if no session is live there. */
const TOUCH = `${PRELUDE}
local now, seenAt, expiresAt = unpack(ARGV)
local lives, _, lastSeenAt, lastExpiresAt = live(now)
if not lives then return 0 end
expiresAt = later(lastExpiresAt, expiresAt)
redis.call('HSET', key, 'seenAt', later(lastSeenAt, seenAt), 'expiresAt', expiresAt)
keepUntil(expiresAt, now)
return 1
`

/**
 * Takes now, tombstoneMs, user ('' is any, '=name' only this one), nextKey ('' is none). Returns the fields of the session, or
 * nil if none was live there, or 0 and does nothing if it belongs to another user.
 */
const REMOVE = `${PRELUDE}
local now, tombstoneMs, user, nextKey = unpack(ARGV)
local lives, owner = live(now)
if user ~= '' and lives and owner ~= string.sub(user, 2) then return 0 end
-- The first end counts.
if redis.call('TYPE', key).ok == 'hash' and redis.call('HEXISTS', key, 'endedAt') == 1 then return false end
local last = lives and redis.call('HGETALL', key)
-- Before any other write: a script that has deleted may go on to write when the memory is full.
redis.call('DEL', key)
redis.call('HSET', key, 'endedAt', now)
if nextKey ~= '' then redis.call('HSET', key, 'nextKey', nextKey) end
redis.call('PEXPIRE', key, tombstoneMs)
return last
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
  hatcheckRemove: Script<string[] | 0 | null>
  hatcheckIndex: Script<[number, string[]]>
  hatcheckUnindex: Script<0>
}

/** Adds the scripts to a client as commands. The client sends the text of a script once, its hash from then on. */
export function withSessionScripts<C extends Redis | Cluster> (client: C): C & SessionScripts {
  const scripts: Record<keyof SessionScripts, string> = {
    hatcheckCreate: CREATE,
    hatcheckPatch: PATCH,
    hatcheckTake: TAKE,
    hatcheckTouch: TOUCH,
    hatcheckRemove: REMOVE,
    hatcheckIndex: INDEX,
    hatcheckUnindex: UNINDEX
  }
  for (const [name, lua] of Object.entries(scripts)) client.defineCommand(name, { numberOfKeys: 1, lua })
  return client as C & SessionScripts
}
