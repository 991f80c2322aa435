import type { HttpRequest } from "../../calls/http.ts";
import { ServiceError } from "../../domain/errors.ts";

const nothing = Buffer.alloc(0);

/**
 * Reads a whole request body.
 *
 * @throws ServiceError `body_too_large` as soon as the limit is exceeded; `canceled` when the client goes away
 */
export function readBody(request: HttpRequest, maxBytes: number): Promise<Buffer> {
  const length = request.headers["content-length"];
  if (length === "0") return Promise.resolve(nothing);
  if (length !== undefined && Number(length) > maxBytes) return Promise.reject(tooLarge(maxBytes));
  return new Promise((resolve, reject) => {
    // Nearly every body is a single chunk.
    let whole: Buffer = nothing;
    let pieces: Buffer[] | undefined;
    let size = 0;
    let isDone = false;
    request.on("data", (piece: Buffer) => {
      size += piece.length;
      if (isDone) return;
      if (size > maxBytes) {
        isDone = true;
        reject(tooLarge(maxBytes));
      } else if (size === piece.length) whole = piece;
      else {
        pieces ??= [whole];
        pieces.push(piece);
      }
    });
    request.on("end", () => {
      isDone = true;
      resolve(pieces === undefined ? whole : Buffer.concat(pieces, size));
    });
    // `close` also follows `end`; creating an error then would cost as much as the rest of this function.
    const onGone = () => {
      if (!isDone) reject(new ServiceError("downlease.call.canceled"));
    };
    request.on("error", onGone);
    request.on("close", onGone);
  });
}

function tooLarge(maxBytes: number): ServiceError {
  return new ServiceError("downlease.request.too_large", [String(maxBytes)]);
}
