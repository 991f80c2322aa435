import type { Message } from "@bufbuild/protobuf";
import { Code, ConnectError, type HandlerContext } from "@connectrpc/connect";
import type { UniversalServerResponse } from "@connectrpc/connect/protocol";
import type { HttpResponse } from "../../calls/http.ts";
import { partTaken } from "../../calls/open-stream.ts";
import { asServiceError, type Conversation, type StreamEntry } from "../../calls/pipeline.ts";
import { ServiceError } from "../../domain/errors.ts";
import { RpcCall, requestInfoKey } from "./call.ts";
import { connectErrorOf, isUnreadable, unreadable } from "./errors.ts";
import type { Patience } from "./patience.ts";
import { untilAborted } from "./until-aborted.ts";

/**
 * Serves a stream operation for Connect's runtime, one request after the other.
 *
 * @param streamsMustEnd ends the stream with UNAVAILABLE
 */
export async function* serveStream(
  converse: StreamEntry,
  requests: AsyncIterable<Message>,
  context: HandlerContext,
  streamsMustEnd: AbortSignal,
  patience: Patience,
): AsyncGenerator<Message> {
  const call = new RpcCall(context);
  let conversation: Conversation;
  try {
    conversation = await converse(call);
  } catch (reason) {
    throw connectErrorOf(asServiceError(reason, call));
  }
  const mustEnd = AbortSignal.any([context.signal, streamsMustEnd]);
  let error: ServiceError | undefined = new ServiceError("downlease.call.canceled");
  try {
    for await (const request of untilAborted(requests, mustEnd, patience)) {
      yield* await conversation.answer([request]);
    }
    if (call.abortedWith !== undefined) throw new ServiceError(call.abortedWith);
    if (streamsMustEnd.aborted) throw new ServiceError("downlease.server.stopping");
    error = undefined;
  } catch (reason) {
    if (reason instanceof ConnectError) {
      error = requestError(reason);
      throw isUnreadable(reason) ? unreadable() : reason;
    }
    error = asServiceError(reason, call);
    throw connectErrorOf(error);
  } finally {
    conversation.end(error);
  }
}

/** Serves a stream of answers for Connect's runtime; the request gate has opened it. */
export async function* serveAnswers(request: Message, { values }: HandlerContext): AsyncGenerator<Message> {
  const info = values.get(requestInfoKey);
  info.isCall = true;
  const stream = info.stream!;
  let error: ServiceError | undefined = new ServiceError("downlease.call.canceled");
  try {
    yield* stream.answers(request);
    error = undefined;
  } catch (reason) {
    error = asServiceError(reason, info);
    throw connectErrorOf(error);
  } finally {
    stream.end(error);
  }
}

/** The error that the log gets for a request that Connect cannot read. */
function requestError({ code, rawMessage }: ConnectError): ServiceError {
  if (code === Code.Canceled) return new ServiceError("downlease.call.canceled");
  if (code === Code.DeadlineExceeded) return new ServiceError("downlease.call.timed_out");
  return new ServiceError("downlease.request.malformed", [rawMessage]);
}

/** The answer; each part of it that the client has taken is recorded. */
export function withPartsTaken(
  answer: UniversalServerResponse,
  response: HttpResponse,
): UniversalServerResponse {
  const { body } = answer;
  return body === undefined ? answer : { ...answer, body: recordParts(body, response) };
}

async function* recordParts(
  body: AsyncIterable<Uint8Array>,
  response: HttpResponse,
): AsyncGenerator<Uint8Array> {
  for await (const part of body) {
    yield part;
    partTaken(response);
  }
}
