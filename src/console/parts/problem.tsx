import { Code, ConnectError } from "@connectrpc/connect";

const advice: Partial<Record<Code, string>> = {
  [Code.Unavailable]: "It is tried again by itself.",
  [Code.PermissionDenied]: "Ask an operator of the service.",
  [Code.ResourceExhausted]: "Wait a moment, then try again.",
};

/** What went wrong, what to do, and the id to search the logs for. */
export function Problem({ error }: { readonly error: unknown }) {
  const { rawMessage, code, metadata } = ConnectError.from(error);
  const requestId = metadata.get("x-request-id");
  return (
    <div role="alert" className="problem">
      <p>
        {rawMessage} {advice[code]}
      </p>
      {requestId !== null && (
        <p className="fine">
          Request <code>{requestId}</code>
        </p>
      )}
    </div>
  );
}
