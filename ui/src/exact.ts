// A step with all its numbers: the digest of its weights and the promise of its gradient, computed again by the page.

import { Num, toNumber } from "./data";

// dtype "<f4" or "<f8"; numbers in base64, one text a parameter
export interface Exact { dtype: string; shapes: number[][]; before: string[]; after: string[]; gradient: string[] }

const PRIMES = (() => {
  const found: number[] = [];
  for (let n = 2; found.length < 64; n++) if (found.every((p) => n % p)) found.push(n);
  return found;
})();

const fraction = (x: number) => ((x - Math.floor(x)) * 2 ** 32) | 0;

// SHA-256 (FIPS 180-4): a file: or sandboxed page may have no crypto.subtle.
export function sha256(bytes: Uint8Array): string {
  const K = PRIMES.map((p) => fraction(Math.cbrt(p))), H = PRIMES.slice(0, 8).map((p) => fraction(Math.sqrt(p)));
  const padded = new Uint8Array(((bytes.length + 8) >> 6 << 6) + 64);
  padded.set(bytes);
  padded[bytes.length] = 0x80;
  const view = new DataView(padded.buffer);
  view.setUint32(padded.length - 8, Math.floor(bytes.length / 2 ** 29));
  view.setUint32(padded.length - 4, (bytes.length << 3) >>> 0);
  const W = new Int32Array(64), turn = (x: number, n: number) => (x >>> n) | (x << (32 - n));
  for (let at = 0; at < padded.length; at += 64) {
    for (let t = 0; t < 16; t++) W[t] = view.getInt32(at + 4 * t);
    for (let t = 16; t < 64; t++) {
      const u = W[t - 15], v = W[t - 2];
      W[t] = (turn(v, 17) ^ turn(v, 19) ^ (v >>> 10)) + W[t - 7] + (turn(u, 7) ^ turn(u, 18) ^ (u >>> 3)) + W[t - 16];
    }
    let [a, b, c, d, e, f, g, h] = H;
    for (let t = 0; t < 64; t++) {
      const x = (h + (turn(e, 6) ^ turn(e, 11) ^ turn(e, 25)) + ((e & f) ^ (~e & g)) + K[t] + W[t]) | 0;
      const y = ((turn(a, 2) ^ turn(a, 13) ^ turn(a, 22)) + ((a & b) ^ (a & c) ^ (b & c))) | 0;
      [a, b, c, d, e, f, g, h] = [(x + y) | 0, a, b, c, (d + x) | 0, e, f, g];
    }
    [a, b, c, d, e, f, g, h].forEach((x, k) => { H[k] = (H[k] + x) | 0; });
  }
  return H.map((x) => (x >>> 0).toString(16).padStart(8, "0")).join("");
}

const bytesOf = (text: string) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));

function numbers(bytes: Uint8Array, dtype: string): Float32Array | Float64Array {
  return dtype === "<f4" ? new Float32Array(bytes.buffer) : new Float64Array(bytes.buffer);
}

// The digest of arrays as a run's log has it: dtype, shape and numbers, one array after the other.
export function digestOf(exact: Exact): string {
  const parts = exact.after.flatMap((text, k) => {
    const shape = exact.shapes[k], told = `(${shape.join(", ")}${shape.length === 1 ? "," : ""})`;
    return [new TextEncoder().encode(exact.dtype + told), bytesOf(text)];
  });
  const all = new Uint8Array(parts.reduce((n, part) => n + part.length, 0));
  let at = 0;
  for (const part of parts) { all.set(part, at); at += part.length; }
  return sha256(all);
}

// Whether the weights have this digest, and the gradient by the update comes to these promises.
export function stepHolds(exact: Exact, weights: string, promise: Num[]): boolean {
  if (digestOf(exact) !== weights) return false;
  return exact.shapes.every((_, k) => {
    const [g, a, b] = [exact.gradient, exact.before, exact.after].map((texts) => numbers(bytesOf(texts[k]), exact.dtype));
    let sum = 0, size = 0;
    for (let i = 0; i < g.length; i++) {
      const term = g[i] * (b[i] - a[i]);
      sum += term;
      size += Math.abs(term);
    }
    const told = toNumber(promise[k]) ?? NaN;
    return Number.isFinite(sum) ? Math.abs(sum - told) <= 1e-12 * size : !Number.isFinite(told);
  });
}
