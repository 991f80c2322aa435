import type { DescMessage, MessageShape } from "@bufbuild/protobuf";
import { ServiceError } from "../domain/errors.ts";
import type { Caller } from "../domain/session.ts";
import type { Admission } from "./admission.ts";
import { asServiceError, type Call, type CallObserver, unlessAborted } from "./call.ts";
import { type ClientAddressOf, networkOf } from "./client-address.ts";
import { loginIdOf } from "./credentials.ts";
import {
  type Authenticate,
  operationNameOf,
  type ServerStreamOperation,
  type StreamOperation,
} from "./operation.ts";
import { AnswerStream, type ServerStreamEntry } from "./server-stream.ts";
import type { ShareHolders } from "./share-holders.ts";
import { StreamPlace } from "./stream-place.ts";

type AnyMessage = MessageShape<DescMessage>;

/** One call of an operation on a stream of requests, behind the pipeline. */
export interface Conversation {
  /** Responds to one group of requests at a time. Rejects with ServiceError when the stream has to end. */
  answer(requests: readonly AnyMessage[]): Promise<readonly AnyMessage[]>;
  /** Records the end of the stream. @param error why it ended, unless the caller ended it */
  end(error?: ServiceError): void;
}

/**
 * Opens a conversation for a call: resolves when the caller is authenticated and the stream has a place, which it has
 * until `end` is called. Needs no message and nothing of the call's headers afterwards. Rejects with ServiceError.
 */
export type StreamEntry = (call: Call) => Promise<Conversation>;

export interface StreamCallsOptions {
  readonly authenticate: Authenticate;
  readonly administrate: Authenticate;
  readonly admission: Admission;
  /** Open streams, by principal. */
  readonly streams: ShareHolders;
  /**
   * Open streams of strangers, by address. While nobody has to authenticate, a stream is one until its first request.
   */
  readonly strangers: ShareHolders;
  /** Whether nobody has to authenticate. Everybody is one principal then, so addresses share the streams. */
  readonly isOpen: boolean;
  readonly clientAddressOf: ClientAddressOf;
  readonly observe: CallObserver;
  /** Of a stream that is opened while there are too many calls. */
  readonly overloaded: ServiceError;
}

/** A stream whose caller is authenticated, and what records its end. */
interface Opened {
  readonly call: Call;
  readonly caller: Caller;
  /** Authenticates the caller again: a stream may outlive its credentials. */
  readonly identity: Call;
  readonly clientAddress: string;
  readonly place: StreamPlace;
  record(error: ServiceError | undefined): void;
}

/**
 * The way of streams through the pipeline. A stream is a call until its caller is authenticated, by its headers and
 * before ours are sent; after that its place is among the streams.
 */
export class StreamCalls {
  readonly #options: StreamCallsOptions;

  constructor(options: StreamCallsOptions) {
    this.#options = options;
  }

  /** Groups of requests need no admission: a stream has one in flight, and flow control bounds what waits behind it. */
  entry(row: StreamOperation): StreamEntry {
    const { authenticate } = this.#options;
    const operation = operationNameOf(row.method);
    return async (call) => {
      const opened = await this.#open(call, operation, authenticate);
      return {
        answer: (requests) => this.#answer(row, opened, requests),
        end(error) {
          opened.place.leave();
          opened.record(error);
        },
      };
    };
  }

  /** @param streamsMustEnd ends the stream with an error */
  serverEntry(row: ServerStreamOperation, streamsMustEnd: AbortSignal): ServerStreamEntry {
    const { administrate, authenticate: authenticateAny } = this.#options;
    const authenticate = row.isAdministration ? administrate : authenticateAny;
    const operation = operationNameOf(row.method);
    return async (call) => {
      const opened = await this.#open(call, operation, authenticate);
      return new AnswerStream({
        row,
        ...opened,
        begin: () => this.#begin(opened),
        authenticate: () => authenticate(opened.identity),
        streamsMustEnd,
      });
    };
  }

  async #open(call: Call, operation: string, authenticate: Authenticate): Promise<Opened> {
    const { isOpen, streams, strangers, clientAddressOf, observe } = this.#options;
    const startedAt = performance.now();
    const record = (error: ServiceError | undefined): void => {
      const durationMs = performance.now() - startedAt;
      observe({ call, operation, outcome: error?.kind ?? "ok", durationMs, error });
    };
    try {
      const caller = await this.#identify(call, authenticate);
      const clientAddress = clientAddressOf(call);
      const place = isOpen
        ? new StreamPlace(strangers, networkOf(clientAddress))
        : new StreamPlace(streams, caller.principal);
      return { call, caller, identity: this.#identityOf(call), clientAddress, place, record };
    } catch (reason) {
      const error = asServiceError(reason, call);
      record(error);
      throw error;
    }
  }

  /** Authenticates the caller of a stream; while that takes its time, the stream counts as a call. */
  async #identify(call: Call, authenticate: Authenticate): Promise<Caller> {
    const { admission, isOpen, overloaded } = this.#options;
    const { connection } = call;
    if (!admission.enter(connection, 1)) throw overloaded;
    try {
      const caller = authenticate(call);
      const resolved = caller instanceof Promise ? await unlessAborted(caller, call) : caller;
      if (!isOpen && !connection.isTrusted) connection.trust();
      return resolved;
    } finally {
      admission.leave(connection, 1);
    }
  }

  /**
   * What a stream keeps of its call in order to authenticate again: the credentials that count, and no headers, because
   * they may be large.
   */
  #identityOf({ protocol, requestId, connection, credentials, headers }: Call): Call {
    const { isOpen } = this.#options;
    const loginId = isOpen ? undefined : loginIdOf(credentials, headers);
    const authorization = isOpen || loginId !== undefined ? undefined : credentials.authorization;
    const kept = connection.keep({ authorization, loginId });
    return { protocol, requestId, connection, credentials: kept, headers: {} };
  }

  /** The first request is there: the stream is no stranger's any more. */
  #begin({ place, call }: Opened): void {
    const { streams, strangers } = this.#options;
    if (!place.isAmong(strangers)) return;
    place.move(streams);
    call.connection.trust();
  }

  async #answer(
    row: StreamOperation,
    opened: Opened,
    requests: readonly AnyMessage[],
  ): Promise<readonly AnyMessage[]> {
    const { call, identity, clientAddress } = opened;
    try {
      this.#begin(opened);
      if (call.abortedWith !== undefined) throw new ServiceError(call.abortedWith);
      const caller = this.#options.authenticate(identity);
      const answers =
        caller instanceof Promise
          ? caller.then((resolved) => row.answer(requests, resolved, clientAddress))
          : row.answer(requests, caller, clientAddress);
      return await unlessAborted(answers, call);
    } catch (reason) {
      throw asServiceError(reason, call);
    }
  }
}
