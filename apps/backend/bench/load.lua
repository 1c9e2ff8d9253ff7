-- Asks the same thing again and again: wrk ... -- METHOD PATH BODY STEP ITEMS USERS START
local number = 0

function init(args)
    wrk.method, path, body = args[1], args[2], args[3]
    step, items, users = tonumber(args[4]), tonumber(args[5]), tonumber(args[6])
    number = tonumber(args[7])
end

local function filled(text)
    text = text:gsub("{item}", step * (1 + number % items))
    text = text:gsub("{user}", 1 + number % users)
    return (text:gsub("{n}", number))
end

function request()
    number = number + 1
    return wrk.format(nil, filled(path), nil, body ~= "" and filled(body) or nil)
end

function done(summary, latency)
    local errors = summary.errors
    io.write(string.format(
        '{"requests": %d, "seconds": %.6f, "p50_ms": %.3f, "p99_ms": %.3f, "refused": %d, "broken": %d}\n',
        summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3,
        latency:percentile(99) / 1e3, errors.status,
        errors.connect + errors.read + errors.write + errors.timeout))
end
