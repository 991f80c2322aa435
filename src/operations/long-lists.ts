import { Turns } from "../domain/turns.ts";

/** To work on so many entries and to encode the answer takes some tenths of a millisecond, in which nobody is served. */
const longLength = 100;

const turns = new Turns();

/**
 * Resolves when a list may be worked on and answered. Long ones of all callers take turns: the event loop serves
 * all other calls between two of them, however many are requested at the same time.
 */
export async function turnFor({ length }: { readonly length: number }): Promise<void> {
  if (length > longLength) await turns.run(() => {});
}
