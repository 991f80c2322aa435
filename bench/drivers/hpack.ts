/** The part of HPACK (RFC 7541) that sends one constant request and finds `grpc-status` in responses. */

const staticFields = [
  ":authority :method=GET :method=POST :path=/ :path=/index.html :scheme=http :scheme=https :status=200",
  ":status=204 :status=206 :status=304 :status=400 :status=404 :status=500 accept-charset",
  "accept-encoding=gzip,~deflate accept-language accept-ranges accept access-control-allow-origin age allow",
  "authorization cache-control content-disposition content-encoding content-language content-length",
  "content-location content-range content-type cookie date etag expect expires from host if-match",
  "if-modified-since if-none-match if-range if-unmodified-since last-modified link location max-forwards",
  "proxy-authenticate proxy-authorization range referer refresh retry-after server set-cookie",
  "strict-transport-security transfer-encoding user-agent vary via www-authenticate",
]
  .join(" ")
  .split(" ")
  .map((field): Field => {
    const [name = "", value = ""] = field.split("=");
    return { name, value: value.replace("~", " ") };
  });

interface Field {
  readonly name: string;
  readonly value: string;
}

const firstDynamicIndex = staticFields.length + 1;
/** Size of a table entry beyond its text (RFC 7541, section 4.1). */
const entryOverhead = 32;
const defaultTableBytes = 4096;

/** Header blocks of a repeated request: the first fills the peer's table, later ones refer to its entries. */
export function constantHeaders(fields: readonly (readonly [name: string, value: string])[]): {
  readonly first: Buffer;
  readonly later: Buffer;
} {
  const indexed: number[] = [];
  const literal: Field[] = [];
  for (const [name, value] of fields) {
    const index = staticFields.findIndex((field) => field.name === name && field.value === value);
    if (index >= 0) indexed.push(0x80 | (index + 1));
    else literal.push({ name, value });
  }
  // The newest entry of the table has the lowest index.
  const pointers = literal.map((_, age) => 0x80 | (firstDynamicIndex + literal.length - 1 - age));
  return {
    first: Buffer.concat([Buffer.from(indexed), ...literal.map(literalWithIndexing)]),
    later: Buffer.from([...indexed, ...pointers]),
  };
}

function literalWithIndexing({ name, value }: Field): Buffer {
  return Buffer.concat([Buffer.of(0x40), plainString(name), plainString(value)]);
}

function plainString(text: string): Buffer {
  const bytes = Buffer.from(text);
  return Buffer.concat([lengthOf(bytes), bytes]);
}

/** An integer with a prefix of 7 bits (RFC 7541, section 5.1). */
function lengthOf({ length }: Buffer): Buffer {
  const limit = 0x7f;
  if (length < limit) return Buffer.of(length);
  const bytes = [limit];
  let rest = length - limit;
  for (; rest >= 0x80; rest >>= 7) bytes.push(0x80 | (rest & 0x7f));
  return Buffer.from([...bytes, rest]);
}

/** Reads the header blocks of one connection, in order. */
export class HeaderReader {
  readonly #table: Field[] = [];
  #tableBytes = 0;
  #maxTableBytes = defaultTableBytes;
  #block: Buffer = Buffer.alloc(0);
  #at = 0;

  /** The value of `name` in a header block, if present. */
  find(block: Buffer, name: string): string | undefined {
    this.#block = block;
    this.#at = 0;
    let value: string | undefined;
    while (this.#at < block.length) {
      const field = this.#field();
      if (field?.name === name) value = field.value;
    }
    return value;
  }

  #field(): Field | undefined {
    const byte = this.#block[this.#at]!;
    if ((byte & 0x80) !== 0) return this.#entry(this.#integer(7));
    if ((byte & 0x40) !== 0) {
      const field = this.#literal(6);
      this.#add(field);
      return field;
    }
    if ((byte & 0x20) === 0) return this.#literal(4);
    this.#maxTableBytes = this.#integer(5);
    this.#evict();
    return undefined;
  }

  #literal(prefixBits: number): Field {
    const index = this.#integer(prefixBits);
    return { name: index === 0 ? this.#string() : this.#entry(index).name, value: this.#string() };
  }

  #entry(index: number): Field {
    const field =
      index < firstDynamicIndex ? staticFields[index - 1] : this.#table[index - firstDynamicIndex];
    if (field === undefined) throw new Error(`a header block refers to entry ${index}, which does not exist`);
    return field;
  }

  #add(field: Field): void {
    this.#table.unshift(field);
    this.#tableBytes += bytesOf(field);
    this.#evict();
  }

  #evict(): void {
    while (this.#tableBytes > this.#maxTableBytes) this.#tableBytes -= bytesOf(this.#table.pop()!);
  }

  #integer(prefixBits: number): number {
    const limit = (1 << prefixBits) - 1;
    let value = this.#block[this.#at++]! & limit;
    if (value < limit) return value;
    for (let shift = 0; ; shift += 7) {
      const byte = this.#block[this.#at++]!;
      value += (byte & 0x7f) << shift;
      if ((byte & 0x80) === 0) return value;
    }
  }

  #string(): string {
    const isHuffman = (this.#block[this.#at]! & 0x80) !== 0;
    const start = this.#integer(7) + this.#at;
    const bytes = this.#block.subarray(this.#at, start);
    this.#at = start;
    return isHuffman ? huffmanDecoded(bytes) : bytes.toString("latin1");
  }
}

function bytesOf({ name, value }: Field): number {
  return name.length + value.length + entryOverhead;
}

/** Printable characters by the length of their code; the code is canonical, so lengths define it. */
const huffmanLengths: readonly (readonly [bits: number, characters: string])[] = [
  [5, "012aceiost"],
  [6, " %-./3456789=A_bdfghlmnpru"],
  [7, ":BCDEFGHIJKLMNOPQRSTUVWYjkqvwxyz"],
  [8, "&*,;XZ"],
  [10, '!"()?'],
  [11, "'+|"],
  [12, "#>"],
  // The first code of 13 bits is that of NUL.
  [13, "\0$@[]~"],
  [14, "^}"],
  [15, "<`{"],
];

const huffmanCodes = new Map<number, string>();
let nextCode = 0;
let codeBits = 5;
for (const [bits, characters] of huffmanLengths) {
  nextCode <<= bits - codeBits;
  codeBits = bits;
  for (const character of characters) huffmanCodes.set(codeKey(bits, nextCode++), character);
}

function codeKey(bits: number, code: number): number {
  return (1 << bits) | code;
}

function huffmanDecoded(bytes: Buffer): string {
  let text = "";
  let key = 1;
  for (const byte of bytes) {
    for (let bit = 7; bit >= 0; bit--) {
      key = (key << 1) | ((byte >> bit) & 1);
      const character = huffmanCodes.get(key);
      if (character !== undefined) {
        text += character;
        key = 1;
      } else if (key >= 1 << 16) throw new Error("a header value has a character that is not printable");
    }
  }
  return text;
}
