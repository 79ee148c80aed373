-- What wrk sends: `wrk … URL -- BODY` posts the body, without one it gets; `-- BODY PREFIX` gives each
-- request an Idempotency-Key of its own. Ends with one line for load.py.
function init(args)
   if args[1] then
      wrk.method = "POST"
      wrk.body = args[1]
      wrk.headers["Content-Type"] = "application/json"
   end
   if args[2] then
      local count = 0
      function request()
         count = count + 1
         wrk.headers["Idempotency-Key"] = args[2] .. count
         return wrk.format()
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
