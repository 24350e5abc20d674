-- POST of a file's content in which every @A@ is a number of the request and every @B@ a random one:
-- wrk -s wrk_post_variables.lua URL -- FILE CONTENT-TYPE
local number = 0

function init(arguments)
  local file = assert(io.open(arguments[1], "rb"))
  template = file:read("*a")
  headers = { ["Content-Type"] = arguments[2] }
  file:close()
end

function request()
  number = number + 1
  local body = template:gsub("@A@", tostring(number)):gsub("@B@", tostring(math.random(100000, 999999)))
  return wrk.format("POST", nil, headers, body)
end
