import type {
  DescMessage,
  DescMethod,
  DescMethodBiDiStreaming,
  DescMethodUnary,
  MessageShape,
} from "@bufbuild/protobuf";
import { ServiceError } from "../domain/errors.ts";
import { noRoles } from "../domain/roles.ts";
import type { Caller } from "../domain/session.ts";
import type { Admission } from "./admission.ts";
import type { Call, CallObserver } from "./call.ts";
import { type ClientAddressOf, networkOf } from "./client-address.ts";
import { loginIdOf } from "./credentials.ts";
import type { Encoder } from "./encoder.ts";
import type { ShareHolders } from "./share-holders.ts";
import { StreamPlace } from "./stream-place.ts";

/** One row of the table of operations. */
export interface Operation<I extends DescMessage = DescMessage, O extends DescMessage = DescMessage> {
  readonly method: DescMethodUnary<I, O>;
  /** High volume: successes are logged at debug. */
  readonly isRoutine?: boolean;
  /** Whether callers need no credentials, and those that they send do not count. */
  readonly isPublic?: boolean;
  /** Whether callers authenticate with credentials for logging in, such as a password. */
  readonly isLogin?: boolean;
  /** Whether only operators of the service may call it. */
  readonly isAdministration?: boolean;
  /** Whether the call closes its login session. */
  readonly isLogout?: boolean;
  /** Encodes the response in place of `toBinary`, on protocols that support it. */
  readonly encode?: Encoder<O>;
  /** Weight of a request among the calls in flight; 1 when left out. */
  weight?(request: MessageShape<I>): number;
  /** Id of the download session that a request is about, for the log. */
  sessionId?(request: MessageShape<I>): string;
  /** Checks the arguments and does the work. Throws ServiceError. */
  run(request: MessageShape<I>, caller: Caller, call: Call): Promise<MessageShape<O>>;
}

/** An operation on a stream of requests: one response for each request, in the order of the requests. */
export interface StreamOperation<I extends DescMessage = DescMessage, O extends DescMessage = DescMessage> {
  readonly method: DescMethodBiDiStreaming<I, O>;
  /**
   * Responds to the requests that have arrived together. An error of a single request is part of its response; throws
   * ServiceError for errors that end the stream.
   *
   * @param clientAddress when the stream began
   */
  answer(
    requests: readonly MessageShape<I>[],
    caller: Caller,
    clientAddress: string,
  ): Promise<readonly MessageShape<O>[]>;
}

export interface Operations {
  readonly unary: readonly Operation[];
  readonly streams: readonly StreamOperation[];
}

/** Names of the services that have operations, for example `cis.v1.SessionService`. */
export function serviceNamesOf({ unary, streams }: Operations): string[] {
  return [...new Set([...unary, ...streams].map(({ method }) => method.parent.typeName))];
}

/** A row of the table of operations, checked with the types of its messages; the table itself has no such types. */
export function operation<I extends DescMessage, O extends DescMessage>(row: Operation<I, O>): Operation {
  return row as unknown as Operation;
}

/** As `operation`, for a stream. */
export function streamOperation<I extends DescMessage, O extends DescMessage>(
  row: StreamOperation<I, O>,
): StreamOperation {
  return row as unknown as StreamOperation;
}

/** Identifies the caller, or throws ServiceError `unauthenticated`. */
export type Authenticate = (call: Call) => Caller | Promise<Caller>;

/** A request message, or a function that reads it once the caller is authenticated. Throws ServiceError. */
export type RequestSource = MessageShape<DescMessage> | (() => MessageShape<DescMessage>);

/** Runs an operation through the whole pipeline. Rejects only with ServiceError. */
export type Entry = (request: RequestSource, call: Call) => Promise<MessageShape<DescMessage>>;

/** One call of a stream operation, behind the pipeline. */
export interface Conversation {
  /** Responds to one group of requests at a time. Rejects with ServiceError when the stream has to end. */
  answer(requests: readonly MessageShape<DescMessage>[]): Promise<readonly MessageShape<DescMessage>[]>;
  /** Records the end of the stream. @param error why it ended, unless the caller ended it */
  end(error?: ServiceError): void;
}

/**
 * Opens a conversation for a call: resolves when the caller is authenticated and the stream has a place, which it has
 * until `end` is called. Needs no message and nothing of the call's headers afterwards. Rejects with ServiceError.
 */
export type StreamEntry = (call: Call) => Promise<Conversation>;

/** A stream whose caller is authenticated. */
interface OpenedStream {
  readonly row: StreamOperation;
  readonly call: Call;
  /** Authenticates the caller of later requests. */
  readonly identity: Call;
  readonly clientAddress: string;
  readonly place: StreamPlace;
}

/** Delay before a refusal for overload is sent. */
const refusalPauseMs = 100;

const stranger: Caller = { principal: "stranger", roles: noRoles };
const asStranger: Authenticate = () => stranger;

export interface CallPipelineOptions {
  readonly operations: Operations;
  readonly authenticate: Authenticate;
  /** For login operations; `authenticate` when left out. */
  readonly login?: Authenticate;
  /** For administration: refuses callers that are no operators; `authenticate` when left out. */
  readonly administrate?: Authenticate;
  readonly admission: Admission;
  /** Open streams, by principal. */
  readonly streams: ShareHolders;
  /**
   * Open streams of strangers, by address. While nobody has to authenticate, a stream is one until its first request.
   */
  readonly strangers: ShareHolders;
  /** Whether nobody has to authenticate. Everybody is one principal then, so addresses share the streams. */
  readonly isOpen?: boolean;
  readonly clientAddressOf: ClientAddressOf;
  readonly observe: CallObserver;
}

/**
 * The way of every call from its protocol to its operation: admit → authenticate → read → run → map errors → observe.
 * Protocols look up the entries of their methods once, at start-up.
 */
export class CallPipeline {
  readonly operations: Operations;
  readonly #authenticate: Authenticate;
  readonly #login: Authenticate;
  readonly #administrate: Authenticate;
  readonly #admission: Admission;
  readonly #streams: ShareHolders;
  readonly #strangers: ShareHolders;
  readonly #isOpen: boolean;
  readonly #clientAddressOf: ClientAddressOf;
  readonly #observe: CallObserver;
  /** Made once: creating an error costs more than the refusal, which has to be cheap. */
  readonly #overloaded = ServiceError.overloaded();

  constructor(options: CallPipelineOptions) {
    const { operations, authenticate, login = authenticate, admission, streams, observe } = options;
    this.operations = operations;
    this.#authenticate = authenticate;
    this.#login = login;
    this.#administrate = options.administrate ?? authenticate;
    this.#admission = admission;
    this.#streams = streams;
    this.#strangers = options.strangers;
    this.#isOpen = options.isOpen ?? false;
    this.#clientAddressOf = options.clientAddressOf;
    this.#observe = observe;
  }

  /** Costs one promise and two functions a call, and must not cost more: every keep-alive passes here. */
  entry(row: Operation): Entry {
    const operation = operationNameOf(row.method);
    const { isRoutine, isPublic = false } = row;
    const authenticate = this.#authenticateFor(row);
    return (source, call) =>
      new Promise((resolve, reject) => {
        const startedAt = performance.now();
        const { connection } = call;
        let request = typeof source === "function" ? undefined : source;
        const weight = request === undefined ? 1 : (row.weight?.(request) ?? 1);
        const isAdmitted = this.#admission.enter(connection, weight);
        let isOver = false;
        const end = (error: ServiceError | undefined): void => {
          isOver = true;
          if (isAdmitted) this.#admission.leave(connection, weight);
          const outcome = error?.kind ?? "ok";
          const durationMs = performance.now() - startedAt;
          const sessionId = request && row.sessionId?.(request);
          this.#observe({ call, operation, outcome, durationMs, isRoutine, sessionId, error });
        };
        const fail = (reason: unknown): void => {
          if (isOver) return;
          const error = asServiceError(reason, call);
          end(error);
          reject(error);
        };
        const succeed = (response: MessageShape<DescMessage>): void => {
          if (isOver) return;
          end(undefined);
          resolve(response);
        };
        if (!isAdmitted) return this.#refuse(call, end, reject);
        if (call.abortedWith !== undefined) return fail(new ServiceError(call.abortedWith));
        // The operation goes on when its call is aborted; its response is dropped.
        call.onAbort = (reason) => fail(new ServiceError(reason));
        try {
          const runAs = (caller: Caller) => {
            if (!connection.isTrusted && !isPublic) connection.trust();
            request ??= (source as () => MessageShape<DescMessage>)();
            return row.run(request, caller, call);
          };
          const caller = authenticate(call);
          const response = caller instanceof Promise ? caller.then(runAs) : runAs(caller);
          response.then(succeed, fail);
        } catch (reason) {
          fail(reason);
        }
      });
  }

  #authenticateFor({ isPublic, isLogin, isAdministration }: Operation): Authenticate {
    if (isPublic) return asStranger;
    if (isLogin) return this.#login;
    return isAdministration ? this.#administrate : this.#authenticate;
  }

  /**
   * Records the refusal now and sends it a little later. Otherwise callers that retry at once would use more of the
   * server for their refusals than the calls in flight use.
   */
  #refuse(call: Call, end: (error: ServiceError) => void, reject: (error: ServiceError) => void): void {
    const error = this.#overloaded;
    end(error);
    const timer = setTimeout(reject, refusalPauseMs, error);
    call.onAbort = (reason) => {
      clearTimeout(timer);
      reject(new ServiceError(reason));
    };
  }

  /**
   * A stream is a call until its caller is authenticated; after that its place is among the streams. Its groups of
   * requests need no admission: a stream has one in flight, and HTTP/2 flow control bounds what waits behind it.
   */
  streamEntry(row: StreamOperation): StreamEntry {
    const operation = operationNameOf(row.method);
    return async (call) => {
      const startedAt = performance.now();
      const record = (error: ServiceError | undefined): void => {
        const durationMs = performance.now() - startedAt;
        this.#observe({ call, operation, outcome: error?.kind ?? "ok", durationMs, error });
      };
      try {
        const caller = await this.#identify(call);
        const clientAddress = this.#clientAddressOf(call);
        const place = this.#isOpen
          ? new StreamPlace(this.#strangers, networkOf(clientAddress))
          : new StreamPlace(this.#streams, caller.principal);
        const stream = { row, call, identity: this.#identityOf(call), clientAddress, place };
        return {
          answer: (requests) => this.#answer(stream, requests),
          end: (error) => {
            place.leave();
            record(error);
          },
        };
      } catch (reason) {
        const error = asServiceError(reason, call);
        record(error);
        throw error;
      }
    };
  }

  /** Authenticates the caller of a stream; while that takes its time, the stream counts as a call. */
  async #identify(call: Call): Promise<Caller> {
    const { connection } = call;
    if (!this.#admission.enter(connection, 1)) throw this.#overloaded;
    try {
      const caller = this.#authenticate(call);
      const resolved = caller instanceof Promise ? await unlessAborted(caller, call) : caller;
      if (!this.#isOpen && !connection.isTrusted) connection.trust();
      return resolved;
    } finally {
      this.#admission.leave(connection, 1);
    }
  }

  /**
   * What a stream keeps of its call in order to authenticate again: the credentials that count, and no headers, because
   * they may be large.
   */
  #identityOf({ protocol, requestId, connection, credentials, headers }: Call): Call {
    const loginId = this.#isOpen ? undefined : loginIdOf(credentials, headers);
    const authorization = this.#isOpen || loginId !== undefined ? undefined : credentials.authorization;
    const kept = connection.keep({ authorization, loginId });
    return { protocol, requestId, connection, credentials: kept, headers: {} };
  }

  async #answer(
    { row, call, identity, clientAddress, place }: OpenedStream,
    requests: readonly MessageShape<DescMessage>[],
  ): Promise<readonly MessageShape<DescMessage>[]> {
    try {
      if (place.isAmong(this.#strangers)) {
        place.move(this.#streams);
        call.connection.trust();
      }
      if (call.abortedWith !== undefined) throw new ServiceError(call.abortedWith);
      // For each group: a stream may outlive the credentials of its caller.
      const caller = this.#authenticate(identity);
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

/** For example `DownloadSession.KeepAlive`. */
export function operationNameOf(method: DescMethod): string {
  return `${method.parent.name.replace(/Service$/, "")}.${method.name}`;
}

/** The error for the caller: a ServiceError as it is, anything else as an internal error without its text. */
export function asServiceError(reason: unknown, call: Pick<Call, "requestId">): ServiceError {
  if (reason instanceof ServiceError) return reason;
  return new ServiceError("downlease.server.internal", [call.requestId], reason);
}

/** The result, or a rejection when the call is aborted first; the work then goes on and its result is dropped. */
function unlessAborted<T>(work: Promise<T>, call: Call): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    call.onAbort = (reason) => reject(new ServiceError(reason));
    work.then(resolve, reject);
  });
}
