-- Asks hatcheck about a request, in HAProxy.

local HATCHECK = 'http://127.0.0.1:3000'

-- HAProxy asks up to four times: 6 s in all.
local TIMEOUT_MS = 1500

-- The headers of the request that hatcheck needs.
local ASKED_WITH = {
  'host', 'cookie', 'accept', 'accept-language', 'sec-fetch-mode', 'x-requested-with',
  'x-forwarded-for', 'x-forwarded-proto', 'x-forwarded-host'
}

-- HAProxy writes these itself.
local OWN = { ['connection'] = true, ['keep-alive'] = true, ['transfer-encoding'] = true, ['content-length'] = true }

-- Returns all lines of a header, whose numbers begin at 0, as a list.
local function list (lines)
  local values = {}
  for i = 0, #lines do values[#values + 1] = lines[i] end
  return values
end

local function answer (txn, status, headers, body)
  local reply = txn:reply{ status = status, body = body }
  for name, lines in pairs(headers) do
    if not OWN[name] then
      for _, value in ipairs(list(lines)) do reply:add_header(name, value) end
    end
  end
  txn:done(reply)
end

-- A 204 lets the request pass, with the name of the user. Every other answer goes to the client unchanged: a 303 to the login
-- page, 401 for scripts, 403, 503.
core.register_action('ask_hatcheck', { 'http-req' }, function (txn, path)
  local request = txn.http:req_get_headers()
  local asked = {
    ['x-forwarded-method'] = { txn.f:method() },
    ['x-forwarded-uri'] = { txn.f:pathq() }
  }
  for _, name in ipairs(ASKED_WITH) do
    if request[name] then asked[name] = list(request[name]) end
  end
  local response = core.httpclient():get{ url = HATCHECK .. path, headers = asked, timeout = TIMEOUT_MS }
  -- The answer that HAProxy makes while hatcheck is down has no such header. hatcheck's 431, for a header of more than 16 KB,
  -- has none either.
  local is_answer = response.headers ~= nil and (response.headers['remote-user'] ~= nil or response.status == 431)
  if not is_answer then
    return answer(txn, 503, { ['retry-after'] = { [0] = '1' }, ['cache-control'] = { [0] = 'no-store' } }, '')
  end
  if response.status ~= 204 then
    return answer(txn, response.status, response.headers, response.body)
  end
  txn.http:req_set_header('Remote-User', response.headers['remote-user'][0])
  txn.http:req_set_header('Remote-Session', response.headers['remote-session'][0])
  local renewed = response.headers['set-cookie']
  if renewed then txn:set_var('txn.renewed_cookie', renewed[0]) end
end, 1)
