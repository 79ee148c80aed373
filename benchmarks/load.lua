-- What wrk sends. `wrk … URL` gets the URL again and again. `wrk … URL -- post BODY` posts the body, and
-- `-- post BODY PREFIX` gives each request an Idempotency-Key of its own. `-- get FILE` gets the paths that the
-- file names, one a line, in turn. Ends with one line for load.py.
function init(args)
   if args[1] == "post" then
      wrk.method = "POST"
      wrk.body = args[2]
      wrk.headers["Content-Type"] = "application/json"
      if args[3] then
         local count = 0
         function request()
            count = count + 1
            wrk.headers["Idempotency-Key"] = args[3] .. count
            return wrk.format()
         end
      end
   elseif args[1] == "get" then
      local requests, count = {}, 0
      for path in io.lines(args[2]) do
         requests[#requests + 1] = wrk.format("GET", path)
      end
      function request()
         count = count % #requests + 1
         return requests[count]
      end
   end
end

function done(summary, latency, requests)
   local errors = summary.errors
   io.write(string.format(
      '{"requests": %d, "microseconds": %d, "p50": %d, "p99": %d, "not_ok": %d, "broken": %d}\n',
      summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
      errors.status, errors.connect + errors.read + errors.write + errors.timeout))
end
