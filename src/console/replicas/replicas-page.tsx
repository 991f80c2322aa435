export default function ReplicasPage() {
  return <h1>Replicas</h1>;
}
