import neostandard from 'neostandard'

export default neostandard({ ts: true, ignores: ['build/**', 'dist/**', '.tap/**', 'test/fixtures/**/node_modules/**'] })
