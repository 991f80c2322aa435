import { ServiceError } from "../domain/errors.ts";
import type { ShareHolders } from "./share-holders.ts";

/** Made once: creating an error costs more than the refusal, which has to be cheap. */
const tooMany = ServiceError.tooManyStreams();

/** The place of an open stream among those of one kind. */
export class StreamPlace {
  #places: ShareHolders;
  #holder: string;

  /**
   * Takes a place for the holder.
   *
   * @throws ServiceError when there are too many streams
   */
  constructor(places: ShareHolders, holder: string) {
    if (!places.enter(holder)) throw tooMany;
    this.#places = places;
    this.#holder = holder;
  }

  isAmong(places: ShareHolders): boolean {
    return this.#places === places;
  }

  /** Changes to a place of another kind. Throws as the constructor does, and then keeps the one it has. */
  move(places: ShareHolders): void {
    if (!places.enter(this.#holder)) throw tooMany;
    this.leave();
    this.#places = places;
  }

  leave(): void {
    this.#places.leave(this.#holder);
  }
}
