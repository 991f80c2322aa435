import { inspect } from "node:util";

/** A URL that may carry credentials. However it is printed, they show as `***`; only `reveal` tells them. */
export class SecretUrl {
  readonly #url: string;

  constructor(url: string) {
    this.#url = url;
  }

  reveal(): string {
    return this.#url;
  }

  toString(): string {
    // Greedy up to the last `@` before the path: a password that was not percent-encoded is hidden whole.
    return this.#url.replace(/^([^:/]*:\/\/)[^/?#]*@/, "$1***@");
  }

  toJSON(): string {
    return this.toString();
  }

  [inspect.custom](): string {
    return this.toString();
  }
}

/** Bytes that must not be seen. However they are printed, they show as `***`; only `reveal` tells them. */
export class SecretBytes {
  readonly #bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  reveal(): Uint8Array {
    return this.#bytes;
  }

  toString(): string {
    return "***";
  }

  toJSON(): string {
    return this.toString();
  }

  [inspect.custom](): string {
    return this.toString();
  }
}
