import { useQuery } from "@connectrpc/connect-query";
import { AdminService } from "../../../gen/downlease/admin/v1/admin_pb.ts";
import { formatBytes } from "../parts/bytes.tsx";
import { EmptyState } from "../parts/empty-state.tsx";
import { Loading } from "../parts/loading.tsx";
import { PageTitle } from "../parts/page-title.tsx";
import { Problem } from "../parts/problem.tsx";
import { Table } from "../parts/table.tsx";
import { Time } from "../parts/time.tsx";

/** The processes that share the store. */
export default function ReplicasPage() {
  const { data, error } = useQuery(AdminService.method.getOverview, {}, { refetchInterval: 2_000 });
  if (error !== null) return <Problem error={error} />;
  if (data?.overview === undefined) return <Loading label="Loading the replicas" />;
  const { replicas } = data.overview;
  const versions = new Set(replicas.map(({ version }) => version));
  return (
    <>
      <PageTitle title="Replicas" />
      {versions.size > 1 && (
        <p className="problem" role="status">
          {versions.size} versions run side by side: {[...versions].join(", ")}.
        </p>
      )}
      {replicas.length === 0 ? (
        <EmptyState title="No replica has reported yet">Each one does every few seconds.</EmptyState>
      ) : (
        <Table
          label="Replicas"
          columns={[
            "Name",
            "State",
            "Version",
            "Address",
            "Started",
            "Last report",
            "Calls/s",
            "Downloads",
            "Sent/s",
            "Connections",
          ]}
        >
          {replicas.map((replica) => (
            <tr key={replica.name}>
              <th scope="row">{replica.name}</th>
              <td>{replica.isReady ? "ready" : <strong className="bad">not ready</strong>}</td>
              <td>{replica.version}</td>
              <td>{replica.address}</td>
              <td>
                <Time time={replica.startTime} />
              </td>
              <td>
                <Time time={replica.lastSeenTime} />
              </td>
              <td>{replica.callsPerSecond.toFixed(1)}</td>
              <td>{String(replica.downloads)}</td>
              <td>{formatBytes(replica.bytesPerSecond)}</td>
              <td>{String(replica.connections)}</td>
            </tr>
          ))}
        </Table>
      )}
    </>
  );
}
