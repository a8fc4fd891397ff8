// Says what memlab makes of a heap snapshot: of each node its id, the id of its dominator and what it retains.
//
//     NODE_PATH=FOLDER/node_modules node tests/graph/memlab.js FILE.heapsnapshot
//
// where FOLDER is what `tests/provision.sh --libraries` made: `memlab` in the store.
const {getFullHeapFromFile} = require('@memlab/heap-analysis');

process.stdout.write = (write => function (text, ...rest) {
  // It tells of its progress.
  return typeof text === 'string' && text.startsWith('node ') ? write.call(this, text, ...rest) : true;
})(process.stdout.write);

getFullHeapFromFile(process.argv[2]).then(heap => {
  const lines = [];
  heap.nodes.forEach(node => {
    const dominator = node.dominatorNode;
    lines.push(`node ${node.id} ${dominator ? dominator.id : 0} ${node.retainedSize} ${node.is_detached ? 1 : 0}\n`);
  });
  process.stdout.write(lines.join(''));
});
