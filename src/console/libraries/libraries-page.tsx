export default function LibrariesPage() {
  return <h1>Libraries</h1>;
}
