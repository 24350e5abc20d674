-- POST of a file's content: wrk -s wrk_post.lua URL -- FILE CONTENT-TYPE
function init(arguments)
  local file = assert(io.open(arguments[1], "rb"))
  wrk.method = "POST"
  wrk.body = file:read("*a")
  wrk.headers["Content-Type"] = arguments[2]
  file:close()
  request_text = wrk.format()
end

function request()
  return request_text
end
