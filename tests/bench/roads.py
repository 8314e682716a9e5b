"""The roads that are measured, each as the piece of Lua that makes its requests.

`road(seed)` runs once in each thread of wrk; what can be made there is not made again for each request. `seed` is
never used twice, so names that must be new are new.
"""

from dataclasses import dataclass

PASSWORD = "violet teapot argues with gravity"


@dataclass(frozen=True)
class Road:
    """A road; every answer holds `expects`. `ids` is how many User IDs a request asks about.

    Where an answer takes long, a reading does too (`times`), and `connections` are no more than somebody would open:
    what a queue holds at the end of a reading is still worked off when the next one begins. `may_be_busy`: it has a
    bounded queue, and says 503 where that is full. `grows`: it may cost more where there are more accounts. `steps` is
    how many requests make one whole. A road that defines `took(status, headers, body)` judges its answers itself, and
    makes the next requests of them.
    """

    name: str
    lua: str
    expects: str
    ids: int = 1
    times: int = 1
    connections: tuple[int, ...] = (1, 16, 64)
    may_be_busy: bool = False
    grows: bool = True
    steps: int = 1


def _batch(name: str, ids: int, times: int) -> Road:
    lua = """
    local bodies = {}
    function road() for i = 1, 20 do bodies[i] = '{"user_ids":' .. some_ids(%d) .. '}' end end
    function request() return post("/v1/accounts/verifications", bodies[math.random(#bodies)]) end
    """
    return Road(name, lua % ids, '"status":"valid"', ids, times)


CONSTANT = Road(
    "a constant answer (GET /livez)",
    """
    function road() end
    function request() return wrk.format("GET", "/livez", {}) end
    """,
    '"ok"',
)
VERIFY = Road(
    "verify one",
    """
    function road() end
    function request() return post("/v1/accounts/verifications", '{"user_ids":["' .. an_id() .. '"]}') end
    """,
    '"status":"valid"',
)
BATCH_100, BATCH_1000 = _batch("verify 100", 100, 1), _batch("verify 1,000", 1000, 2)
REGISTER = Road(
    "register",
    """
    local mine
    function road(seed) mine = seed end
    function request() return post("/v1/accounts", '{"email":"r' .. mine .. "-" .. turn .. '@example.com"}') end
    """,
    '"user_id"',
)
PERMISSIONS = Road(
    "permission check of 10,000",
    """
    local bodies = {}
    function road()
      for i = 1, 4 do bodies[i] = '{"purpose":"email","user_ids":' .. some_ids(10000) .. '}' end
    end
    function request() return post("/v1/marketing/permissions", bodies[math.random(#bodies)]) end
    """,
    '"statement"',
    10000,
    times=2,
    connections=(1, 2),
)
HISTORY = Road(
    "history append",
    """
    local mine
    function road(seed) mine = seed end
    function request()
      return post("/v1/accounts/" .. an_id() .. "/history", '{"entries":[{"kind":"order","reference":"'
        .. mine .. "-" .. turn .. '","occurred_at":"2026-01-01T00:00:00Z","amount":"12.50","currency":"EUR"}]}')
    end
    """,
    '"added"',
)
PASSWORD_CHECK = Road(
    "password check",
    f"""
    function road() end
    function request()
      return post("/v1/password-checks", '{{"user_id":"' .. an_id() .. '","password":"{PASSWORD}"}}')
    end
    """,
    '"result":"match"',
    times=2,
    may_be_busy=True,
    grows=False,
)
TOKEN = Road(
    "token grant",
    """
    function road() end
    function request()
      turn = turn + 1
      local headers = {["Content-Type"] = "application/x-www-form-urlencoded"}
      headers["Authorization"] = secrets[turn % #secrets + 1]
      return wrk.format("POST", "/oauth/token", headers, "grant_type=client_credentials")
    end
    """,
    '"access_token"',
    grows=False,
)
# By User ID: by address, three letters an hour would be the limit of each. The second ask for one joins the first.
RESET = Road(
    "reset request",
    """
    function road() end
    function request() return post("/v1/resets", '{"user_id":"' .. an_id() .. '"}') end
    """,
    '"tracking_url"',
)
_AT_A_SHOP = """
local client, auth, challenge, verifier, browsers
local form = "application/x-www-form-urlencoded"

local function shop()
  local facts = lines(folder .. "/shop")
  client, auth, challenge, verifier = facts[1], facts[2], facts[3], facts[4]
  browsers = lines(folder .. "/browsers")
end

local function token(body)
  return wrk.format("POST", "/oauth/token", {["Content-Type"] = form, ["Authorization"] = auth}, body)
end
"""
# Each customer comes from a network of their own; wrk does not say whose an answer is, so what it leads to waits in a
# queue, and the next free connection sends it.
SIGN_IN_AT_A_SHOP = Road(
    "sign-in at a shop, each of its 4 requests",
    _AT_A_SHOP
    + """
    local ready, back = {}, "https%3A%2F%2Fshop.example.org%2Fcallback"
    function road() shop() end

    local function page(path, browser)
      local network = "10." .. math.random(0, 255) .. "." .. math.random(0, 255) .. "." .. math.random(0, 255)
      return wrk.format("GET", path, {["Cookie"] = browser, ["X-Forwarded-For"] = network})
    end

    function request()
      local next = table.remove(ready)
      if next then return next end
      turn = turn + 1
      return page("/oauth/authorize?response_type=code&scope=openid%20profile%20email&state=s&nonce=n&client_id="
        .. client .. "&redirect_uri=" .. back .. "&code_challenge_method=S256&code_challenge=" .. challenge,
        browsers[turn % #browsers + 1])
    end

    function took(status, headers, body)
      local where = headers["Location"] or headers["location"] or ""
      local code = where:match("[?&]code=([^&]+)")
      local access = body:match('"access_token":"([^"]+)"')
      local named = where:match("^(/oauth/authorize/.+)$")
      if code then
        table.insert(ready, token("grant_type=authorization_code&redirect_uri=" .. back .. "&code_verifier="
          .. verifier .. "&code=" .. code))
      elseif access then
        table.insert(ready, wrk.format("GET", "/oauth/userinfo", {["Authorization"] = "Bearer " .. access}))
      elseif named then
        local set = headers["Set-Cookie"] or headers["set-cookie"] or ""
        local browser = set:match("__Host%-authorize=([^;]+)")
        table.insert(ready, page(named, "__Host-session=" .. browser .. "; __Host-authorize=" .. browser))
      elseif not body:find('"email_verified":true', 1, true) then
        wrong = wrong + 1
      end
    end
    """,
    '"email_verified":true',
    steps=4,
)
REFRESH = Road(
    "refresh",
    _AT_A_SHOP
    + """
    local ready = {}
    function road()
      shop()
      for place, one in ipairs(lines(folder .. "/refreshes")) do
        if place % threads == number - 1 then table.insert(ready, one) end
      end
    end

    function request() return token("grant_type=refresh_token&refresh_token=" .. table.remove(ready)) end

    function took(status, headers, body)
      local next = body:match('"refresh_token":"([^"]+)"')
      if next then table.insert(ready, 1, next) else wrong = wrong + 1 end
    end
    """,
    '"refresh_token"',
)
AT_A_SHOP = (SIGN_IN_AT_A_SHOP, REFRESH)
ALL = (
    VERIFY, BATCH_100, BATCH_1000, REGISTER, PERMISSIONS, HISTORY, PASSWORD_CHECK, TOKEN, RESET, *AT_A_SHOP,
)  # fmt: skip

MIXED = Road(
    "mixed",
    """
    local mine, batches = "", {}
    function road(seed)
      mine = seed
      for i = 1, 20 do batches[i] = '{"user_ids":' .. some_ids(100) .. '}' end
    end
    function request()
      local die = math.random(100)
      if die <= 80 then
        return post("/v1/accounts/verifications", '{"user_ids":["' .. an_id() .. '"]}')
      elseif die <= 85 then
        return post("/v1/accounts/verifications", batches[math.random(#batches)])
      elseif die <= 90 then
        return post("/v1/accounts", '{"email":"m' .. mine .. "-" .. turn .. '@example.com"}')
      elseif die <= 98 then
        return post("/v1/accounts/" .. an_id() .. "/history", '{"entries":[{"kind":"order",'
          .. '"reference":"' .. mine .. "-" .. turn .. '","occurred_at":"2026-01-01T00:00:00Z"}]}')
      end
      turn = turn + 1
      local headers = {["Content-Type"] = "application/x-www-form-urlencoded"}
      headers["Authorization"] = secrets[turn % #secrets + 1]
      return wrk.format("POST", "/oauth/token", headers, "grant_type=client_credentials")
    end
    """,
    "",
)
