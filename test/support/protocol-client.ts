/** A session in one form for every protocol. */
export interface SeenSession {
  readonly id: string;
  readonly library_item_id: string;
  readonly library_item_content_version: string;
  readonly client_progress: number;
  readonly state: string;
  /** Milliseconds since the epoch. */
  readonly expiration_time: number;
  readonly error_message?: string | undefined;
}

/** A refusal in one form for every protocol. */
export class Refused extends Error {
  readonly status: string;
  readonly type: string;
  readonly messageId: string;

  /** @param status gRPC code name, or HTTP status */
  constructor(status: string, type: string, messageId: string, message: string) {
    super(message);
    this.status = status;
    this.type = type;
    this.messageId = messageId;
  }
}

/** The operations over one protocol and representation; refusals reject with `Refused`. */
export interface ProtocolClient {
  create(libraryItemId: string | undefined, clientToken?: string): Promise<string>;
  get(id: string): Promise<SeenSession>;
  list(libraryItemId?: string): Promise<string[]>;
  keepAlive(id: string, progress?: number): Promise<void>;
  cancel(id: string): Promise<void>;
  fail(id: string, message: string): Promise<void>;
  delete(id: string): Promise<void>;
}

/** A session as vAPI encodes it; in XML every leaf is a text. */
export type WrittenSession = Record<string, unknown> & {
  expiration_time: string;
  error_message?: { default_message: string } | undefined;
};

export function seenSession(session: WrittenSession): SeenSession {
  return {
    id: String(session.id),
    library_item_id: String(session.library_item_id),
    library_item_content_version: String(session.library_item_content_version),
    client_progress: Number(session.client_progress),
    state: String(session.state),
    expiration_time: Date.parse(session.expiration_time),
    error_message: session.error_message?.default_message,
  };
}
