"""Decide what a failure says about the mailbox, from its status, its diagnosis and its words. Pure.

Servers contradict themselves: a status says "unknown" where our network address was refused, a policy code wraps "no
such user". The most exact word about the mailbox decides; where words and codes point to several causes, a code
decides between them, and in doubt the mailbox is taken to be alive.
"""

import re
from enum import StrEnum
from typing import Final, NamedTuple

LONGEST: Final = 4000
"""Characters of a diagnosis or notice that are judged."""


class Cause(StrEnum):
    """Why an email came back."""

    ADDRESS = "address"
    """Nobody has this mailbox: the only cause that suppresses an address."""
    MAILBOX = "mailbox"
    """The mailbox exists or may exist: full, busy, or its server was not reached in time."""
    POLICY = "policy"
    """The email, its sender or our servers were refused: policy, reputation, content, authentication."""


class Verdict(NamedTuple):
    """The cause of a failure, if it is known, and the enhanced code (RFC 3463) that agrees with it, if there is one."""

    cause: Cause | None
    enhanced: str | None


SEVERITY: Final = (None, Cause.MAILBOX, Cause.POLICY, Cause.ADDRESS)
"""Causes in the order in which the worst of several counts."""
_URL = re.compile(r"\bhttps?://\S{1,500}|\bwww\.\S{1,300}", re.IGNORECASE)
_MAILBOX = re.compile(r"<?[^\s<>@,;:]{1,100}@[^\s<>@,;:]{1,255}>?")
_BLANK = re.compile(r"\s+")
_REPLY_LINE = re.compile(r"(?<=\S)\s+[245]\d\d[- ](?=[^\d\s])")
_CODE = re.compile(r"(?<![\d.])([245])\.(\d{1,3})\.(\d{1,3})(?![\d.]*\d)", re.ASCII)

# About us, the sender: what is said of addresses then is said of ours.
_SENDER_WORD = (
    r"(absender|expéditeur|remitente|remetente|mittente|afzender|nadawc[aąęy]|отправител[ьяю]|avsändare|avsender"
    r"|afsender|lähettäj|odesílatel|odosielateľ|feladó|gönderen|发件人|發件人|寄件人|送信者|差出人|발신자)"
)
_REFUSED_WORD = (
    r"(unbekannt|ungültig|existiert|nicht|abgelehnt|verweigert|gesperrt|inconnu|introuvable|n['’]existe|refus|rejet"
    r"|desconocid|no existe|inexistente|rechaz|bloque|desconhecid|não existe|recus|rejeit|sconosciut|rifiut|non esiste"
    r"|onbekend|geweigerd|bestaat niet|nieznan|odrzucon|nie istnieje|неизвестн|не существует|не найден|отклон|заблок"
    r"|okänd|finns inte|ukendt|ukjent|tuntematon|neznám|ismeretlen|不存在|無效|无效|拒绝|拒否|存在しま"
    r"|存在しない|不明|존재하지)"
)
_NOT_RECIPIENT = r"(?:(?!empf|adressat|destinat|recipient|ontvanger|odbiorc|получател|mottag|收件人|受信者|宛先).)"
_SENDER = re.compile(
    rf"{_SENDER_WORD}{_NOT_RECIPIENT}{{0,30}}{_REFUSED_WORD}|{_REFUSED_WORD}\w{{0,10}}\W{{1,3}}{_SENDER_WORD}"
    r"|sender .{0,20}(not exist|not found)|return[- ]path|bounce address|\bin (the )?mail from\b|\bfrom[- ]header"
    r"|\byour (host|domain|server|from|dns|envelope|e-?mail domain|sending)\b|reverse lookup|\binvalid dns"
    r"|too many (invalid|unknown|bad|wrong) (recipients|users|addresses)"
    r"|(due to|because of) .{0,30}(dns[bw]l|blacklist|block ?list|reputation|polic(y|ies)|spam)"
    r"|will not accept (delivery|mail|messages)|delivery (was )?refused"
    r"|send(er|ing)('s)? (address|domain|verif|id|host|mail|server|ip|mta|is not|not|has been (rejected|blocked"
    r"|denied))"
    r"|send(er|ing) (rejected|refused|denied|blocked|unknown|invalid)|verif(y|ied|ication) (of )?(the )?sender"
    r"|(domain|address|host) of (the )?sender|verification failed for|\bcallout|call-?back verif"
    r"|(reject(ed|ing)?|refus(ed|ing)|block(ed|ing)|unknown|invalid|bad|den(ied|ying))( the| this| your| by"
    r"| for)? sender"
    r"|(envelope|header)[- ]from\b|(reply to|after) mail from|mail from .{0,60}(refused|rejected|denied)|from address",
    re.IGNORECASE,
)
_NETWORK = re.compile(r"\b(ip|network|source|client|host|server|connecting)[ -](address|host|domain)(es)?\b", re.I)
_POLICY = re.compile(
    r"spam|\bjunk|\bbulk|phish|virus|malware|infected|\bcontents?\b|message (was )?(refused|rejected)|\bban(ned)?\b"
    r"|\bblock(ed|ing|s)?\b|block[ -]?list|black[ -]?list|deny[ -]?list|\bdns[bw]l|\brbl\b|reputation|\bspf\b"
    r"|\bdkim\b"
    r"|\bdmarc\b|authenticat|relay(ing)?( access)?( is| was)? ?(denied|not (permitted|allowed)|prohibited|refused)"
    r"|(un)?able to relay|cannot relay|open relay|polic(y|ies)|not (permitted|authori[sz]ed|allowed|accepted)\b"
    r"|unauthori[sz]ed|access (is )?denied|denied by|prohibited|restrict|\btls\b|encrypt|too (large|big)"
    r"|size (limit|exceed)|message size|exceeds? .{0,20}size|maximum (message )?size|suspicious|unsolicited"
    r"|complain|\babus|administrative(ly)?|security|firewall|filter|listed (in|on|at|by)\b(?! .{0,20}director)"
    r"|(no|missing|valid) ptr|ptr .{0,20}(missing|required)"
    r"|reverse dns|helo|bad ip|poor|scor(e|ed|ing)|quarantin|attachment|classified|too many (errors|recip|connect)"
    r"|richtlinie|abgelehnt|verweigert|gesperrt|refusé|rejet|bloqu|rechazad|rifiutat|geweigerd|odrzucon|recusad"
    r"|спам|заблокир|垃圾|拒绝|拒否|迷惑",
    re.IGNORECASE,
)
_FULL = re.compile(
    r"quota|(mail ?|post|in)?box(en)?('s)? .{0,40}\bfull\b|\bfull (mail|in)box|\bis full\b|storage"
    r"|over ?(the |its |their |your )?limit"
    r"|zu ?viele (e-?)?mails"
    r"|out of (disk |storage )?space|no (disk )?space|insufficient (system )?(disk|space|storage)|mailbox size"
    r"|exceeded .{0,30}(mailbox|allocation)|too many messages (in|on)|postfach.{0,40}\bvoll|überfüllt|speicher"
    r"|boîte.{0,40}pleine|saturé|plein[e]?\b|llen[oa]\b|piena|pieno|\bvol\b|lotado|cheia|cheio|przepełnion|pełna"
    r"|переполнен|已满|空间不足|容量|いっぱい|満杯|満了|満",
    re.IGNORECASE,
)
_BUSY = re.compile(
    r"receiving (mail|messages|email) (at a rate|too)|too (much|many) (mail|messages|e-?mails) (right now"
    r"|at the moment)"
    r"|(disabled|unavailable|suspended|locked|inactive|moved)\b.{0,60}\btemporar"
    r"|(being|is) moved|undergoing migration|in ?transit\b"
    r"|rate that|getting too (much|many)|temporar(y|ily) (disabled|unavailable|suspended|locked|inactive)"
    r"|grey-?list|gr[ae]y ?listing|hop count|mail loop|too many hops|loops? back|routing loop|in a circle",
    re.IGNORECASE,
)
_WHO = (
    r"(user|mailbox|mail box|recipient|account|address(ee)?|local[- ]?part|person|alias|customer|subscriber|member"
    r"|employee|login|inbox|destination|party|contact)"
)
_GONE = (
    r"(unknown|unrecogni[sz]ed|invalid|not (been )?(found|known|exist|recogni[sz]ed|listed|valid|a valid|here"
    r"|in\b|on\b"
    r"|local|have|active|our|registered|hosted|available on|present|defined)|does ?n[o']t (exist|have)|do not exist"
    r"|[a-z]{2,5}n't (been |be )?(found|known|recogni[sz]ed|valid|a valid|registered)"
    r"|has (been )?moved|disabled|deactivated|inactive|discontinued|suspended|closed|deleted|terminated|removed"
    r"|expired"
    r"|no longer|gone|left|undeliverable|doesn.t)"
)
_DEAD = re.compile(
    rf"\b{_WHO}s?\b[^.\n]{{0,60}}?\b{_GONE}|\b(unknown|invalid|bad|nonexistent|non-existent|illegal|no such|no"
    rf"|inactive|disabled|unrecogni[sz]ed|obsolete|wrong|incorrect|dead|inexistent) {_WHO}s?\b"
    r"|\b(unknown|no such|invalid) (local|name|person|e-?mail|domain|host|here|recipients?|mail)\b"
    r"|(mail ?box|address|user|account|domain|host|name|recipient) .{0,40}(does ?n[o'’]t|do not|didn't) (exist|have)"
    r"|does ?n[o'’]t have an? .{0,60}(account|mailbox)|no mail ?box|not listed in|no longer (accepts?|valid"
    r"|active|exist"
    r"|available|in (use|service)|on (this |the )?server|works|employed|with)|nobody (here|by)|no one (here|by)"
    r"|(host|domain)( or domain)?( name)? .{0,30}(not found|unknown|does not exist|not exist)|nxdomain|unrout(e?)able"
    r"|(?<!record )(?<!entry )(?<!network )(?<!ptr )(?<!host )(?<!key )"
    r"(is|was|were|could|can)( ?not|n't) (be )?found at\b"
    r"|could(n't| not) find (the |this |that )?(user|mailbox|recipient|e-?mail address|account)\b(?!'s| key| cert)"
    r"|does not (receive|accept) (any )?(e-?)?mail|null ?mx|recipnotfound|user not local|relocated"
    r"|no route (to|for) (the )?(domain|address)|bad destination"
    r"|(empfänger|benutzer|nutzer|adresse|postfach|konto|teilnehmer|mailbox|user)\b.{0,60}(unbekannt|nicht (bekannt"
    r"|gefunden|vorhanden|aufgef|im |in |mehr|erreichbar)|existiert nicht|gibt es nicht|ungültig|gelöscht"
    r"|deaktiviert)"
    r"|wurde (in|bei|unter|auf) [^\s]{1,255} nicht gefunden"
    r"|unbekannte[rns]? (empfänger|benutzer|nutzer|adresse)|existiert nicht"
    r"|inconnu|n['’]existe (pas|plus)|introuvable|(adresse|destinataire|compte|boîte).{0,30}(invalide|désactiv|ferm)"
    r"|desconocid|no existe|inexistente|desconhecid|não existe|sconosciut|non esiste|nie istnieje|nieznan|onbekend"
    r"|bestaat niet|okänd|finns inte|ukendt|findes ikke|ukjent|tuntematon|neexistuj|neznám|nem létez|ismeretlen"
    r"|mevcut değil|bulunamad|не существует|не найден|неизвестн|нет такого|отсутствует"
    r"|不存在|无此|無此|没有此|查无此人|無效"
    r"|無効|无效|存在しません|存在しない|見つかりません|宛先不明|不明|존재하지|없는",
    re.IGNORECASE,
)
# Exchange Online answers so for a recipient that its directory does not know; the words alone are those of a policy.
_UNLISTED = re.compile(r"recipient address rejected: access denied", re.IGNORECASE)
_LATE = re.compile(
    r"time(d)? ?-?out|time limit|retr(y|ies)|too long|expired|connection (refused|timed|reset|lost|closed)"
    r"|unreachable"
    r"|could ?n[o']t (be reached|connect)|unable to (connect|establish|get mx)|n[o']t able to establish|not answer"
    r"|try (again|later)|come back later|not respond|did not accept our requests|given up after|deferred|temporar"
    r"|no route to host|lookup fail|name ?server|service (not available|unavailable)|later|in the queue|zeitüberschr",
    re.IGNORECASE,
)

_ADDRESS_CODES: Final = ("5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10", "5.2.1", "5.4.310")
_POLICY_CODES: Final = ("5.1.7", "5.1.8", "5.2.3", "5.3.4")
_UNSPECIFIC: Final = ("5.0.0", "5.1.0", "5.2.0", "5.0.350", "5.5.0", "5.3.0", "5.4.0", "5.6.0")


def judge_failure(status: str | None, diagnosis: str) -> Verdict:
    """Return the verdict on a failed delivery, from the code of its Status field and the words of its diagnosis.

    A cause of None means that neither says anything about the mailbox.
    """
    said = diagnosis[:LONGEST].replace("’", "'")
    # A line of a reply without an enhanced code is a sentence of its own (RFC 5321, 4.2.1).
    said = _REPLY_LINE.sub(". ", _MAILBOX.sub("", _URL.sub("", said)))
    text = _NETWORK.sub("network", _BLANK.sub(" ", said))
    # The last code of a diagnosis is the innermost: what the recipient's own server said.
    codes = list(dict.fromkeys([*reversed(find_codes(diagnosis)), *([status] if status else [])]))
    cause = _cause(text, codes)
    if cause is None and status and status.startswith("4"):
        cause = Cause.MAILBOX
    return Verdict(cause, next((code for code in codes if cause_of_code(code) == cause), _neutral(codes, cause)))


def severity(status: str | None, diagnosis: str) -> int:
    """Return how bad the cause of a failure is, to find the worst of several."""
    return SEVERITY.index(judge_failure(status, diagnosis).cause)


def find_codes(text: str) -> list[str]:
    """Return the enhanced codes in a text in their order."""
    return [match[0] for match in _CODE.finditer(text[:LONGEST])]


def cause_of_code(code: str) -> Cause | None:
    """Return what an enhanced code says about the mailbox; None for one that says nothing exact."""
    if code in _ADDRESS_CODES:
        return Cause.ADDRESS
    subject, _, detail = code[2:].partition(".")
    if subject in ("7", "6") or code in _POLICY_CODES:
        return Cause.MAILBOX if code.startswith("4") else Cause.POLICY
    if code.startswith("2") or code in _UNSPECIFIC:
        return None
    if (subject, detail) == ("2", "2") or code.startswith("4") or subject in ("3", "4"):
        return Cause.MAILBOX
    return None


def is_about_nobody(code: str) -> bool:
    """Return whether an enhanced code says that nobody has the mailbox, and is not used for a living one."""
    return code in _ADDRESS_CODES and code not in EITHER


def _cause(text: str, codes: list[str]) -> Cause | None:
    for cause, words in ((Cause.POLICY, _SENDER), (Cause.MAILBOX, _BUSY)):
        if words.search(text):
            return cause
    if "5.4.1" in codes and _UNLISTED.search(text):
        return Cause.ADDRESS
    exact = [cause for cause in map(cause_of_code, codes) if cause is not None]
    said = [
        cause
        for cause, words in ((Cause.MAILBOX, _FULL), (Cause.ADDRESS, _DEAD), (Cause.POLICY, _POLICY))
        if words.search(text)
    ]
    innermost = next((code for code in codes if cause_of_code(code) is not None), "")
    if said == [Cause.ADDRESS] and (innermost.startswith("4") or innermost.endswith(".2.2")):
        # "User unknown" with 4.1.1 or 5.2.2: the code says that the mailbox may live.
        return Cause.MAILBOX
    if said:
        # Where several causes are named a code decides between them, and without one the mailbox counts as alive.
        return said[0] if len(said) == 1 else next((c for c in exact if c in said), min(said, key=_CAUTION.index))
    if innermost in EITHER:
        # Without a word about the mailbox it counts as alive: AOL and Exchange refuse all mail of a sender like this.
        return Cause.MAILBOX
    return next(iter(exact), Cause.MAILBOX if _LATE.search(text) else None)


def says_alive(words: str) -> bool:
    """Return whether the words of a diagnosis, without its codes, speak of us or of a mailbox that exists."""
    return judge_failure(None, _CODE.sub("", words)).cause in (Cause.POLICY, Cause.MAILBOX)


EITHER: Final = ("5.2.1", "5.4.1", "5.4.4")
"""Codes that servers use for a dead mailbox and for one that takes nothing at the moment."""
_CAUTION: Final = (Cause.POLICY, Cause.MAILBOX, Cause.ADDRESS)


def _neutral(codes: list[str], cause: Cause | None) -> str | None:
    """Return the first code whose meaning contradicts nothing: one of another cause would say something untrue."""
    return next((code for code in codes if cause_of_code(code) in (None, cause) or code in EITHER), None)
