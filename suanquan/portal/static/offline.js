// Verifies receipts, voucher codes and voucher tokens in this browser, with the keys that stand in the page and nothing else.
// The same checks in the same order as the service's: ledger/receipt.py, ledger/jws.py, voucher/cwt.py. It asks nobody anything.
"use strict";

const at = (id) => document.getElementById(id);
const known = JSON.parse(at("known").textContent);
const TEXTS = JSON.parse(at("texts").textContent);
const ROWS = ["signature", "included", "unchanged", "complete"];
const LEEWAY_S = 60;
const SIZE_MAX = 2n ** 63n - 1n;
let language = document.documentElement.lang.startsWith("en") ? "en" : "zh";
let last = null;

// What stands against a text: in a word, at which of the four rows, and why.
class Refused extends Error {
  constructor(word, row, key, values = {}) {
    super(key);
    Object.assign(this, { word, row, key, values });
  }
}
const differs = (row, key, values) => new Refused("differs", row, key, values);
const cannot = (row, key, values) => new Refused("cannot", row, key, values);

function say(key, values = {}) {
  return TEXTS[language][key].replace(/{(\w+)}/g, (_, name) => String(values[name]));
}

// --- bytes ---------------------------------------------------------------------------------------------------------------

const utf8 = (text) => new TextEncoder().encode(text);
const hex = (bytes) => Array.from(bytes, (one) => one.toString(16).padStart(2, "0")).join("");
const same = (one, other) => hex(one) === hex(other);
const joined = (...parts) => Uint8Array.from(parts.flatMap((part) => [...part]));
const sha256 = async (bytes) => new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
const big = (bytes) => (bytes.length ? BigInt(`0x${hex(bytes)}`) : 0n);

function unhex(text) {
  return /^([0-9a-f]{2})*$/.test(text) ? Uint8Array.from(text.match(/../g) || [], (two) => parseInt(two, 16)) : null;
}

// Bytes of canonical base64, or null: another alphabet, missing padding, stray bits.
function base64(text) {
  if (!/^[A-Za-z0-9+/]*={0,2}$/.test(text) || text.length % 4) return null;
  const bytes = Uint8Array.from(atob(text), (one) => one.charCodeAt(0));
  return btoa(String.fromCharCode(...bytes)) === text ? bytes : null;
}

function base64url(text) {
  if (!/^[A-Za-z0-9_-]*$/.test(text) || text.length % 4 === 1) return null;
  return base64(text.replace(/-/g, "+").replace(/_/g, "/") + "=".repeat((4 - (text.length % 4)) % 4));
}

async function holds(publicKey, signature, message) {
  let key;
  try {
    key = await crypto.subtle.importKey("raw", publicKey, { name: "Ed25519" }, false, ["verify"]);
  } catch {
    throw cannot("signature", "no_ed25519");
  }
  return signature.length === 64 && crypto.subtle.verify({ name: "Ed25519" }, key, signature, message);
}

// Whether a signature by ML-DSA-44 (FIPS 204) holds, or null where this browser cannot tell.
async function holdsMlDsa(publicKey, signature, message) {
  try {
    const key = await crypto.subtle.importKey("raw-public", publicKey, { name: "ML-DSA-44" }, false, ["verify"]);
    return await crypto.subtle.verify({ name: "ML-DSA-44" }, key, signature, message);
  } catch {
    return null;
  }
}

async function hmac(salt, payload) {
  const algorithm = { name: "HMAC", hash: "SHA-256" };
  const key = await crypto.subtle.importKey("raw", salt, algorithm, false, ["sign"]);
  return new Uint8Array(await crypto.subtle.sign("HMAC", key, payload));
}

// --- receipts: c2sp.org/tlog-proof -----------------------------------------------------------------------------------------

const FIRST_LINE = "c2sp.org/tlog-proof@v1";

function sizeOf(text) {
  return /^(0|[1-9][0-9]{0,18})$/.test(text) && BigInt(text) <= SIZE_MAX ? BigInt(text) : null;
}

function readReceipt(text) {
  const blank = text.indexOf("\n\n");
  const lines = (blank < 0 ? text : text.slice(0, blank)).split("\n");
  const bad = (line, wanted) => differs("signature", "receipt_line", { line, wanted });
  if (lines[0] !== FIRST_LINE) throw bad(1, FIRST_LINE);
  const extra = (lines[1] || "").startsWith("extra ") ? base64(lines[1].slice(6)) : null;
  if (extra === null) throw bad(2, "extra BASE64");
  const [word, number, ...more] = (lines[2] || "").split(" ");
  const index = word === "index" && !more.length ? sizeOf(number || "") : null;
  if (index === null) throw bad(3, "index NUMBER");
  const path = lines.slice(3).map((line, step) => {
    const hash = base64(line);
    if (hash === null || hash.length !== 32 || step >= 63) throw bad(step + 4, "BASE64 (32 bytes)");
    return hash;
  });
  return { index, path, content: readContent(extra), note: readNote(blank < 0 ? "" : text.slice(blank + 2)) };
}

// The entry, and where they were disclosed payload and salt; in its one spelling, or refused.
function readContent(extra) {
  const bad = differs("signature", "receipt_extra");
  const text = new TextDecoder().decode(extra);
  let found;
  try {
    found = JSON.parse(text);
  } catch {
    throw bad;
  }
  const own = {};
  if (found.erased_by !== undefined) own.erased_by = found.erased_by;
  own.leaf = found.leaf;
  if (found.payload !== undefined) Object.assign(own, { payload: found.payload, salt: found.salt });
  if (JSON.stringify(own) !== text || typeof own.leaf !== "string") throw bad;
  const leaf = unhex(own.leaf);
  const payload = own.payload === undefined ? null : unhex(String(own.payload));
  const salt = own.payload === undefined ? null : unhex(String(own.salt));
  if (leaf === null || (own.payload !== undefined && (payload === null || salt === null))) throw bad;
  return { leaf, payload, salt };
}

function readNote(whole) {
  const blank = whole.lastIndexOf("\n\n");
  const below = blank < 0 ? [] : whole.slice(blank + 2).split("\n");
  if (below.pop() !== "" || !below.length || below.length > 100) throw differs("signature", "note_form");
  const text = whole.slice(0, blank + 1);
  const lines = below.map((line, step) => {
    const [dash, name, encoded, ...more] = line.split(" ");
    const data = base64(encoded || "");
    if (dash !== "—" || !name || more.length || data === null || data.length <= 4) {
      throw differs("signature", "note_line", { line: step + 1 });
    }
    return { name, id: hex(data.slice(0, 4)), signature: data.slice(4), number: step + 1 };
  });
  const [origin, size, root, ...more] = text.split("\n");
  const head = { origin, size: sizeOf(size || ""), root: base64(root || "") };
  const formed = origin && head.size !== null && head.root !== null && head.root.length === 32;
  if (!formed || more.pop() !== "" || more.includes("")) throw differs("signature", "note_form");
  return { text, lines, head };
}

// Verifier keys of the page: name+id+base64 of type and key.
function trusted() {
  return [...known.logs.map((text) => ({ text, log: true })), ...known.witnesses.map((text) => ({ text, log: false }))].map(
    ({ text, log }) => {
      const [name, id, ...rest] = text.split("+");
      const material = base64(rest.join("+"));
      return { name, id, log, type: material[0], bytes: material.slice(1) };
    },
  );
}

const ED25519 = 1;
const ML_DSA_44 = 6;
const opaque = (text) => joined([utf8(text).length], utf8(text));

// What a signature covers, by the type of its key: ledger/vkey.py.
function covered(key, stamp, { text, head }) {
  if (key.type === ED25519) return utf8(text);
  if (key.type !== ML_DSA_44) return utf8(`cosignature/v1\ntime ${big(stamp)}\n${text}`);
  const size = unhex(head.size.toString(16).padStart(16, "0"));
  return joined(utf8("subtree/v1\n\0"), opaque(key.name), stamp, opaque(head.origin), new Uint8Array(8), size, head.root);
}

// How many witnesses have cosigned a head that the log has signed, and which lines this browser could not look at.
async function checkNote(note) {
  const keys = trusted();
  const strangers = [];
  const unable = [];
  const witnesses = new Set();
  let signed = false;
  for (const line of note.lines) {
    const key = keys.find((one) => one.name === line.name && one.id === line.id);
    if (!key) {
      strangers.push(line);
      continue;
    }
    const stamp = line.signature.slice(0, key.type === ED25519 ? 0 : 8);
    const message = covered(key, stamp, note);
    const held = await (key.type === ML_DSA_44 ? holdsMlDsa : holds)(key.bytes, line.signature.slice(stamp.length), message);
    if (held === false) throw differs("signature", "note_signature", { name: line.name });
    if (held === null) unable.push(line.number);
    else if (!key.log) witnesses.add(key.name);
    else if (key.name === note.head.origin && key.type === ED25519) signed = true;
  }
  if (!signed) throw differs("signature", "note_unsigned", { name: note.head.origin });
  for (const line of strangers) {
    const refuse = line.name === note.head.origin ? differs : cannot;
    throw refuse("signature", "note_stranger", { line: line.number, name: line.name });
  }
  return { witnesses: witnesses.size, unable };
}

// RFC 9162 §2.1.3.2.
async function checkInclusion(leaf, index, path, head) {
  const wrong = differs("included", "proof_differs");
  if (index >= head.size) throw wrong;
  let [place, end] = [index, head.size - 1n];
  let hash = await sha256(joined([0], leaf));
  for (const beside of path) {
    if (end === 0n) throw wrong;
    if (place & 1n || place === end) {
      hash = await sha256(joined([1], beside, hash));
      while (!(place & 1n) && place !== 0n) [place, end] = [place >> 1n, end >> 1n];
    } else {
      hash = await sha256(joined([1], hash, beside));
    }
    [place, end] = [place >> 1n, end >> 1n];
  }
  if (end !== 0n || !same(hash, head.root)) throw wrong;
}

const LEG = 110;

// Entry of a leaf "CVL1" (docs/ledger.md).
function readLeaf(leaf) {
  const size = leaf.length > 134 ? Number(big(leaf.slice(132, 134))) : 0;
  const formed = hex(leaf.slice(0, 4)) === "43564c31" && hex(leaf.slice(6, 8)) === "0001";
  if (!formed || size % LEG || leaf.length !== 134 + size + 32) throw differs("unchanged", "leaf_form");
  const legs = [];
  for (let from = 134; from < 134 + size; from += LEG) {
    const leg = leaf.slice(from, from + LEG);
    legs.push({ asset: Number(big(leg.slice(16, 20))), side: leg[20], layer: leg[21], units: big(leg.slice(22, 38)) });
  }
  const recorded = Number(big(leaf.slice(20, 28)) / 1000000n);
  return { kind: leaf[4], seq: big(leaf.slice(12, 20)), recorded, legs, committed: leaf.slice(-32) };
}

async function judgeReceipt(text) {
  const { index, path, content, note } = readReceipt(text);
  const { witnesses, unable } = await checkNote(note);
  await checkInclusion(content.leaf, index, path, note.head);
  const entry = readLeaf(content.leaf);
  if (entry.seq !== index) throw differs("unchanged", "number_differs", { index, seq: entry.seq });
  if (content.payload !== null && content.payload.length) {
    const fits = content.salt.length && same(await hmac(content.salt, content.payload), entry.committed);
    if (!fits) throw differs("unchanged", "content_differs");
  } else if (content.payload !== null && !same(entry.committed, new Uint8Array(32))) {
    throw differs("unchanged", "content_differs");
  }
  const counts = { log: note.head.origin, size: note.head.size, index, witnesses };
  const hidden = content.payload === null;
  const skipped = unable.length ? [say("note_unable", { lines: unable.join(", ") })] : [];
  const notProven = [say("signature_not"), ...skipped].join(" · ");
  return {
    rows: {
      signature: [say("matches"), say("signature_receipt", counts), notProven],
      included: [say("matches"), say("included_receipt", counts), say("included_not")],
      unchanged: [say("matches"), say(hidden ? "unchanged_hidden" : "unchanged_receipt"), say("unchanged_not")],
      complete: [say("cannot"), "—", say("complete_not")],
    },
    facts: [
      ["fact_log", `${note.head.origin} · ${note.head.size}`],
      ["fact_index", index],
      ["fact_kind", known.kinds[entry.kind] || entry.kind],
      ["fact_recorded", instant(entry.recorded)],
      ["fact_legs", entry.legs.map(legText).join("; ")],
      ["fact_payload", hidden ? "—" : readable(content.payload)],
    ],
  };
}

// A payload as text where it is one, else in hexadecimal.
function readable(payload) {
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(payload);
    return /[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/.test(text) ? hex(payload) : text;
  } catch {
    return hex(payload);
  }
}

function legText(leg) {
  const asset = known.assets[leg.asset] || { code: leg.asset, scale: 0 };
  const digits = String(leg.units).padStart(asset.scale + 1, "0");
  const whole = digits.slice(0, digits.length - asset.scale);
  const part = digits.slice(digits.length - asset.scale);
  const held = leg.layer ? ` (${say("held")})` : "";
  return `${say(leg.side ? "credit" : "debit")} ${whole}${part ? `.${part}` : ""} ${asset.code}${held}`;
}

// --- vouchers: a token in three parts, or a code in base45 -------------------------------------------------------------------

const JWT_TYPE = "compute-voucher+jwt";
const CWT_TYPE = "application/compute-voucher+cwt";

function parsed(bytes) {
  try {
    return bytes === null ? null : JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch {
    return null;
  }
}

async function judgeToken(text) {
  const parts = text.split(".");
  const [header, claims] = parts.slice(0, 2).map((part) => parsed(base64url(part)));
  const signature = base64url(parts[2]);
  for (const [number, found] of [header, claims, signature].entries()) {
    if (found === null) throw differs("signature", "token_form", { part: number + 1 });
  }
  const right = header.alg === "Ed25519" && header.typ === JWT_TYPE && typeof header.kid === "string";
  if (!right || Object.keys(header).length !== 3) throw differs("signature", "token_header", { typ: JWT_TYPE });
  const key = known.keys.find((one) => one.kid === header.kid);
  if (!key) throw cannot("signature", "token_key", { kid: header.kid });
  if (!(await holds(base64url(key.x), signature, utf8(`${parts[0]}.${parts[1]}`)))) throw differs("signature", "token_signature");
  const [detail] = claims.authorization_details;
  return judgeVoucher(key, {
    ...{ jti: claims.jti, issuer: claims.iss, scheme: detail.scheme, holder: claims.sub },
    ...{ from: Math.max(claims.nbf, claims.iat), until: claims.exp, amount: `${detail.face || detail.qty} ${detail.cur || detail.unit}` },
  });
}

const BASE45 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:";

function base45(text) {
  const bytes = [];
  for (let from = 0; from < text.length; from += 3) {
    const digits = [...text.slice(from, from + 3)].map((one) => BASE45.indexOf(one));
    const value = digits.reduce((sum, digit, place) => sum + digit * 45 ** place, 0);
    const full = digits.length === 3;
    if (digits.includes(-1) || digits.length === 1 || value > (full ? 0xffff : 0xff)) return null;
    bytes.push(...(full ? [value >> 8, value & 255] : [value]));
  }
  return Uint8Array.from(bytes);
}

// One item of CBOR with shortest heads and without tags, or an error; the rest is where it ends.
function readCbor(bytes, from) {
  const [major, small] = [bytes[from] >> 5, bytes[from] & 31];
  if (from >= bytes.length || small > 27) throw new RangeError("head");
  const more = small < 24 ? 0 : 2 ** (small - 24);
  let rest = from + 1 + more;
  const value = more ? Number(big(bytes.slice(from + 1, rest))) : small;
  const least = more === 1 ? 24 : 2 ** (4 * more);
  if (rest > bytes.length || value > Number.MAX_SAFE_INTEGER || (more && value < least)) throw new RangeError("head");
  if (major === 0) return { value, rest };
  if (major === 1) return { value: -1 - value, rest };
  if (major === 2 || major === 3) {
    const data = bytes.slice(rest, rest + value);
    if (data.length !== value) throw new RangeError("length");
    return { value: major === 2 ? data : new TextDecoder("utf-8", { fatal: true }).decode(data), rest: rest + value };
  }
  if (major > 5 || value > 64) throw new RangeError("type");
  const items = [];
  for (let count = value * (major === 5 ? 2 : 1); count > 0; count -= 1) {
    const item = readCbor(bytes, rest);
    rest = item.rest;
    items.push(item.value);
  }
  if (major === 4) return { value: items, rest };
  return { value: new Map(items.flatMap((item, place) => (place % 2 ? [] : [[item, items[place + 1]]]))), rest };
}

// Length and type before bytes (RFC 8949 §3).
function headOf(major, size) {
  if (size < 24) return [(major << 5) | size];
  return size < 256 ? [(major << 5) | 24, size] : [(major << 5) | 25, size >> 8, size & 255];
}

function whole(bytes) {
  const { value, rest } = readCbor(bytes, 0);
  if (rest !== bytes.length) throw new RangeError("rest");
  return value;
}

function readCode(text) {
  const bad = (what) => differs("signature", "code_form", { what });
  const data = base45(text);
  if (data === null || data.length > 434) throw bad("base45");
  try {
    const [covered, open, payload, signature] = data[0] === 0xd2 ? whole(data.slice(1)) : [];
    const rewritten = joined(
      ...[[0xd2, 0x84], headOf(2, covered.length), covered, [0xa0], headOf(2, payload.length), payload],
      ...[headOf(2, signature.length), signature],
    );
    if (open.size || !same(rewritten, data)) throw new RangeError("spelling");
    return { covered, payload, signature, header: whole(covered), claims: whole(payload) };
  } catch {
    throw bad("COSE_Sign1");
  }
}

async function judgeCode(text) {
  const { covered, payload, signature, header, claims } = readCode(text);
  const kid = header instanceof Map && header.size === 3 ? header.get(4) : null;
  const right = kid instanceof Uint8Array && header.get(1) === -19 && header.get(16) === CWT_TYPE;
  if (!right) throw differs("signature", "token_header", { typ: CWT_TYPE });
  const key = known.keys.find((one) => same(base64url(one.kid).slice(0, 8), kid));
  if (!key) throw cannot("signature", "token_key", { kid: hex(kid) });
  const message = joined(
    ...[[0x84], headOf(3, 10), utf8("Signature1"), headOf(2, covered.length), covered, [0x40]],
    ...[headOf(2, payload.length), payload],
  );
  if (!(await holds(base64url(key.x), signature, message))) throw differs("signature", "token_signature");
  const detail = claims.get(-70001);
  const jti = hex(claims.get(7)).replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
  return judgeVoucher(key, {
    ...{ jti, issuer: claims.get(1), scheme: String(claims.get(3)).replace("urn:programme:", ""), holder: claims.get(2) },
    ...{ from: Math.max(claims.get(5), claims.get(6)), until: claims.get(4) },
    amount: `${detail.get(6) || detail.get(5)} ${detail.get(7) || detail.get(3)}`,
  });
}

function judgeVoucher(key, voucher) {
  const now = Date.now() / 1000;
  if (key.revoked_s !== null) throw cannot("included", "token_revoked", { kid: key.kid });
  if (voucher.issuer !== known.issuer) throw differs("unchanged", "token_issuer", { found: voucher.issuer, issuer: known.issuer });
  if (voucher.from > now + LEEWAY_S) throw differs("unchanged", "token_early", { at: instant(voucher.from * 1000) });
  if (voucher.until <= now - LEEWAY_S) throw differs("unchanged", "token_over", { at: instant(voucher.until * 1000) });
  return {
    rows: {
      signature: [say("matches"), say("signature_voucher", { kid: key.kid }), say("signature_not")],
      included: [say("not_offline"), "—", say("included_voucher_not")],
      unchanged: [say("matches"), say("unchanged_voucher"), say("unchanged_not")],
      complete: [say("not_offline"), "—", say("complete_voucher_not")],
    },
    facts: [
      ["fact_jti", voucher.jti],
      ["fact_scheme", voucher.scheme],
      ["fact_holder", String(voucher.holder).replace("urn:uscc:", "")],
      ["fact_amount", voucher.amount],
      ["fact_from", instant(voucher.from * 1000)],
      ["fact_until", instant(voucher.until * 1000)],
      ["fact_kid", key.kid],
    ],
  };
}

// Shanghai has had one offset since 1991.
function instant(milliseconds) {
  return new Date(milliseconds + 8 * 3600000).toISOString().slice(0, 19).replace("T", " ");
}

// --- the page ---------------------------------------------------------------------------------------------------------------

async function judge(pasted) {
  const text = pasted.trim().replace(/\r\n/g, "\n");
  try {
    if (!text) throw cannot("", "paste_something");
    if (!globalThis.crypto || !crypto.subtle) throw cannot("", "no_crypto");
    if (text.startsWith("c2sp.org/tlog-proof")) return { word: "matches", ...(await judgeReceipt(`${text}\n`)) };
    if (text.startsWith("SQ1:")) return { word: "matches", ...(await judgeCode(text.slice(4))) };
    if (text.split(".").length === 3 && !/\s/.test(text)) return { word: "matches", ...(await judgeToken(text)) };
    throw cannot("", "not_known_form");
  } catch (fault) {
    if (fault instanceof Refused) return fault;
    return differs("unchanged", "token_form", { part: 2 });
  }
}

function cell(name, text) {
  const made = document.createElement(name);
  made.textContent = text;
  return made;
}

// The four rows of a verdict; of a refusal, the row where it stands, what was right before it, and nothing after it.
function rowsOf(verdict) {
  if (verdict.rows) return ROWS.map((row) => [row, ...verdict.rows[row]]);
  const stop = ROWS.indexOf(verdict.row);
  return ROWS.map((row, place) => {
    if (place === stop) return [row, say(verdict.word), "—", say(verdict.key, verdict.values)];
    return [row, place < stop ? say("matches") : say("not_reached"), "—", "—"];
  });
}

function show(verdict) {
  const told = at("told");
  told.replaceChildren();
  told.className = verdict.word;
  const heading = cell("h2", say(verdict.word));
  heading.id = "verdict";
  told.append(heading);
  if (verdict.key) {
    const why = cell("p", `${say(verdict.key, verdict.values)} `);
    why.id = "why";
    why.append(cell("code", verdict.key));
    told.append(why);
  }
  if (!verdict.rows && !verdict.row) return;
  const table = document.createElement("table");
  const head = document.createElement("tr");
  for (const key of ["looked_at", "found", "proves", "proves_not"]) head.append(Object.assign(cell("th", say(key)), { scope: "col" }));
  table.append(head);
  for (const [row, ...cells] of rowsOf(verdict)) {
    const line = document.createElement("tr");
    line.append(Object.assign(cell("th", say(row)), { scope: "row" }), ...cells.map((text) => cell("td", text)));
    table.append(line);
  }
  told.append(table);
  if (!verdict.facts) return;
  const facts = document.createElement("dl");
  for (const [key, value] of verdict.facts) facts.append(cell("dt", say(key)), cell("dd", String(value)));
  told.append(cell("h3", say("facts")), facts);
}

async function verify() {
  last = at("pasted").value;
  show(await judge(last));
  at("told").focus();
}

function keyLines() {
  const lines = [];
  for (const text of known.logs) lines.push([say("log_key"), text]);
  for (const text of known.witnesses) lines.push([say("witness_key"), text]);
  for (const key of known.keys) lines.push([say("voucher_key"), `${key.kid}${key.revoked_s === null ? "" : ` · ${say("revoked_key")}`}`]);
  return lines;
}

// A key of which few want to read all.
function folded(text) {
  if (text.length < 200) return cell("dd", text);
  const [made, more] = [document.createElement("dd"), document.createElement("details")];
  more.append(cell("summary", text.split("+").slice(0, 2).join("+")), text);
  made.append(more);
  return made;
}

async function speak() {
  document.documentElement.lang = language === "en" ? "en" : "zh-CN";
  document.title = `${say("title")} · suanquan`;
  for (const one of document.querySelectorAll("[data-t]")) one.textContent = say(one.dataset.t, known);
  at("switch").textContent = language === "en" ? "中文" : "English";
  at("keys").replaceChildren(...keyLines().flatMap(([kind, text]) => [cell("dt", kind), folded(text)]));
  if (last !== null) show(await judge(last));
}

at("form").addEventListener("submit", (event) => {
  event.preventDefault();
  verify();
});
at("file").addEventListener("change", async () => {
  const [file] = at("file").files;
  if (file) at("pasted").value = (await file.text()).slice(0, 64000);
});
at("switch").addEventListener("click", () => {
  language = language === "en" ? "zh" : "en";
  speak();
});
at("form").hidden = false;
speak();
