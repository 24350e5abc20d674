-- The checks of the scenario on every response: a header, a text in the body, and one value of the JSON. wrk's Lua has
-- no JSON reader, so the value is found by a pattern, as those who use it do; a real reader would cost more.
failed = 0

function response(status, headers, body)
  local user = body:match('"user":%s*(%b{})')
  local id = user and user:match('"id":%s*(%d+)')
  if
    status ~= 200
    or not (headers["Content-Type"] or ""):find("application/json", 1, true)
    or not body:find('"ok": true', 1, true)
    or tonumber(id) ~= 7
  then
    failed = failed + 1
  end
end
