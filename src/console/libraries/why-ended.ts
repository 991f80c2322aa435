import { type Client, Code, ConnectError } from "@connectrpc/connect";
import {
  type DownloadSessionService,
  DownloadSessionModel_State as State,
} from "../../../gen/content/library/item/v1/download_session_pb.ts";

/** Why the links of a download are closed, in a sentence, and what to do. Never rejects. */
export async function whyEnded(
  sessions: Pick<Client<typeof DownloadSessionService>, "get">,
  downloadSessionId: string,
): Promise<string> {
  try {
    const { downloadSession } = await sessions.get({ downloadSessionId });
    if (downloadSession?.state === State.CANCELED)
      return "Somebody has canceled the download session: an operator, or another client of yours.";
    if (downloadSession?.state === State.ERROR) {
      const { defaultMessage = "" } = downloadSession.errorMessage ?? {};
      return `Somebody has ended the download session: ${defaultMessage}`;
    }
    return "The item has changed since the download began. Download it again.";
  } catch (error) {
    const { code, rawMessage } = ConnectError.from(error);
    return code === Code.NotFound
      ? "The download session has expired or was deleted. Download the item again."
      : rawMessage;
  }
}
