-- The checks of the scenario on every response: a header, a text in the body, and one value of its JSON, which cjson
-- reads (Debian: lua-cjson). Where Lua has no cjson the value is found by a pattern, which is cheaper than reading.
local has_cjson, cjson = pcall(require, "cjson.safe")
failed = 0

local function user_id(body)
  if has_cjson then
    local document = cjson.decode(body)
    return document and document.user and document.user.id
  end
  local user = body:match('"user":%s*(%b{})')
  return tonumber(user and user:match('"id":%s*(%d+)'))
end

function response(status, headers, body)
  if
    status ~= 200
    or not (headers["Content-Type"] or ""):find("application/json", 1, true)
    or not body:find('"ok": true', 1, true)
    or user_id(body) ~= 7
  then
    failed = failed + 1
  end
end

function setup(thread)
  threads = threads or {}
  table.insert(threads, thread)
end

function done()
  local count = 0
  for _, thread in ipairs(threads) do
    count = count + thread:get("failed")
  end
  print(("JSON by %s, failed checks: %d"):format(has_cjson and "cjson" or "a pattern", count))
end
