/** A session as every protocol shows it. */
export interface SeenSession {
  readonly library_item_id: string;
  readonly library_item_content_version: string;
  readonly client_progress: number;
  readonly state: string;
  /** Milliseconds since the epoch. */
  readonly expiration_time: number;
  readonly error_message?: string | undefined;
}

/** A refusal as every protocol tells it. */
export class Refused extends Error {
  readonly status: string;
  readonly type: string;
  readonly messageId: string;

  /** @param status code of the protocol: gRPC code name, or HTTP status */
  constructor(status: string, type: string, messageId: string, message: string) {
    super(message);
    this.status = status;
    this.type = type;
    this.messageId = messageId;
  }
}

/** The operations as a caller of one protocol and representation sees them; refusals reject with `Refused`. */
export interface ProtocolClient {
  create(libraryItemId: string | undefined, clientToken?: string): Promise<string>;
  get(id: string): Promise<SeenSession>;
  list(libraryItemId?: string): Promise<string[]>;
  keepAlive(id: string, progress?: number): Promise<void>;
  cancel(id: string): Promise<void>;
  fail(id: string, message: string): Promise<void>;
  delete(id: string): Promise<void>;
}

/** As vAPI writes it; in XML every leaf is a text. */
export type WrittenSession = Record<string, unknown> & {
  expiration_time: string;
  error_message?: { default_message: string } | undefined;
};

export function seen(session: WrittenSession): SeenSession {
  return {
    library_item_id: String(session.library_item_id),
    library_item_content_version: String(session.library_item_content_version),
    client_progress: Number(session.client_progress),
    state: String(session.state),
    expiration_time: Date.parse(session.expiration_time),
    error_message: session.error_message?.default_message,
  };
}
